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

// The garbage collector removes the owner from the delivery, which remains.
func TestOwner_OrphansDeliveries(t *testing.T) {
	c := newCluster(t, "garbage-collector-controller")
	c.installPostern()
	c.kubectl("create", "namespace", "demo")
	c.owner("first")
	c.owner("owner")
	c.collectorKnows("first") // so the garbage collector watches deliveries
	c.owned("owner")

	c.kubectl("delete", "gatewaysync", "owner", "--namespace=demo", "--cascade=orphan", "--timeout="+patience.String())
	got := c.kubectl("get", "webhookdelivery", "of-owner", "--namespace=demo",
		"--output=jsonpath={.metadata.ownerReferences} {.spec.ref}")
	if got != " v1" {
		t.Errorf("the delivery has owners and ref %q, want none and v1", got)
	}
}

func TestOwner_DeliveryOwnsObject(t *testing.T) {
	c := newCluster(t, "garbage-collector-controller")
	c.installPostern()
	c.kubectl("create", "namespace", "demo")
	c.owner("first")
	c.collectorKnows("first")
	for cascade, kept := range map[string]bool{"background": false, "foreground": false, "orphan": true} {
		c.owner(cascade)
		c.owned(cascade)
		uid := c.kubectl("get", "webhookdelivery", "of-"+cascade, "--namespace=demo",
			"--output=jsonpath={.metadata.uid}")
		c.feed(`
apiVersion: v1
kind: ConfigMap
metadata:
  name: `+cascade+`
  ownerReferences: [{apiVersion: postern.dev/v1alpha1, kind: WebhookDelivery, name: of-`+cascade+`, uid: `+uid+`}]
`, "create", "--namespace=demo", "--filename=-")
		c.kubectl("delete", "webhookdelivery", "of-"+cascade, "--namespace=demo", "--cascade="+cascade,
			"--timeout="+patience.String())
		if !kept {
			c.kubectl("wait", "--for=delete", "configmap/"+cascade, "--namespace=demo", "--timeout="+patience.String())
			continue
		}
		owners := c.kubectl("get", "configmap", cascade, "--namespace=demo",
			"--output=jsonpath={.metadata.ownerReferences}")
		if owners != "" {
			t.Errorf("%s: the ConfigMap still has owners: %s", cascade, owners)
		}
	}
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
