// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package uninstall

import (
	"strings"
	"testing"

	"postern.dev/postern/test/testcluster"
)

// Foreground deletion of an owner waits until the garbage collector has deleted dependents with blockOwnerDeletion,
// which is impossible while their API is unavailable.
func TestOwner_CanBeDeletedWhilePosternIsDown(t *testing.T) {
	c := newCluster(t, "garbage-collector-controller")
	postern := c.installPostern()
	c.kubectl("create", "namespace", "demo")
	c.owner("first")
	c.owner("owner")
	c.owner("last")
	c.collectorKnows("first") // so the garbage collector watches deliveries
	output := c.owned("owner")
	if !strings.Contains(output, "blockOwnerDeletion is dropped") {
		t.Errorf("the output for the creator of the delivery is %q", output)
	}
	c.collectorKnows("last") // so the garbage collector has seen the delivery before it
	if err := postern.Kill(); err != nil {
		t.Fatal(err)
	}
	c.kubectl("wait", "--for=condition=Available=false", "apiservice/"+apiService, "--timeout="+patience.String())

	c.kubectl("delete", "gatewaysync", "owner", "--namespace=demo", "--cascade=foreground", "--timeout="+
		patience.String())
}

func (c *cluster) owner(name string) {
	c.t.Helper()
	c.feed(testcluster.GatewaySync(name), "create", "--namespace=demo", "--filename=-")
}

// owned creates a delivery that blocks its owner's deletion, and returns kubectl's output.
func (c *cluster) owned(owner string) string {
	c.t.Helper()
	uid := c.kubectl("get", "gatewaysync", owner, "--namespace=demo", "--output=jsonpath={.metadata.uid}")
	cmd := c.KubectlCommand(c.t.Context(), c.AdminKubeconfig(), "create", "--namespace=demo", "--filename=-")
	cmd.Stdin = strings.NewReader(`
apiVersion: postern.dev/v1alpha1
kind: WebhookDelivery
metadata:
  name: of-` + owner + `
  ownerReferences: [{apiVersion: stoker.io/v1alpha1, kind: GatewaySync, name: ` + owner + `, uid: ` + uid +
		`, blockOwnerDeletion: true}]
spec: {target: {kind: GatewaySync, name: ` + owner + `}, ref: v1}`)
	output, err := cmd.CombinedOutput() // standard error has the warning
	if err != nil {
		c.t.Fatalf("%v: %s", err, output)
	}
	return string(output)
}

// collectorKnows returns once the garbage collector has deleted a delivery whose owner is gone.
func (c *cluster) collectorKnows(owner string) {
	c.t.Helper()
	c.owned(owner)
	c.kubectl("delete", "gatewaysync", owner, "--namespace=demo")
	c.kubectl("wait", "--for=delete", "webhookdelivery/of-"+owner, "--namespace=demo", "--timeout="+patience.String())
}
