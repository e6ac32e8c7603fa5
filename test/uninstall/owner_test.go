// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package uninstall

import (
	"strings"
	"testing"
)

// An owner that is deleted in the foreground waits until the garbage collector has deleted what says blockOwnerDeletion,
// which it can't while the API of that is away.
func TestAnOwnerCanBeDeletedWhilePosternIsDownWhateverItsDeliveriesSay(t *testing.T) {
	c := newCluster(t, "garbage-collector-controller")
	postern := c.installPostern()
	c.kubectl("create", "namespace", "demo")
	c.owner("first")
	c.owner("owner")
	c.owner("last")
	c.collectorKnows("first") // so the collector watches deliveries
	said := c.owned("owner")
	if !strings.Contains(said, "blockOwnerDeletion is dropped") {
		t.Errorf("the creator of the delivery is told %q", said)
	}
	c.collectorKnows("last") // and so it has seen the one before
	if err := postern.Kill(); err != nil {
		t.Fatal(err)
	}
	c.kubectl("wait", "--for=condition=Available=false", "apiservice/"+apiService, "--timeout="+patience.String())

	c.kubectl("delete", "gatewaysync", "owner", "--namespace=demo", "--cascade=foreground", "--timeout="+patience.String())
}

// owner makes a GatewaySync.
func (c *cluster) owner(name string) {
	c.t.Helper()
	c.feed(`
apiVersion: stoker.io/v1alpha1
kind: GatewaySync
metadata: {name: `+name+`}
spec:
  git: {repo: "https://github.com/example/plant.git", ref: main}
  gateway: {api: {secretName: key}}
  sync: {profiles: {default: {mappings: [{source: a/, destination: b/}]}}}`,
		"create", "--namespace=demo", "--filename=-")
}

// owned makes a delivery that its owner is to wait for, and returns what kubectl says to that.
func (c *cluster) owned(owner string) string {
	c.t.Helper()
	uid := c.kubectl("get", "gatewaysync", owner, "--namespace=demo", "--output=jsonpath={.metadata.uid}")
	cmd := c.KubectlCommand(c.t.Context(), c.AdminKubeconfig(), "create", "--namespace=demo", "--filename=-")
	cmd.Stdin = strings.NewReader(`
apiVersion: postern.dev/v1alpha1
kind: WebhookDelivery
metadata:
  name: of-` + owner + `
  ownerReferences: [{apiVersion: stoker.io/v1alpha1, kind: GatewaySync, name: ` + owner + `, uid: ` + uid + `, blockOwnerDeletion: true}]
spec: {target: {kind: GatewaySync, name: ` + owner + `}, ref: v1}`)
	said, err := cmd.CombinedOutput() // a warning is on standard error
	if err != nil {
		c.t.Fatalf("%v: %s", err, said)
	}
	return string(said)
}

// collectorKnows returns once the garbage collector has deleted a delivery because its owner is gone.
func (c *cluster) collectorKnows(owner string) {
	c.t.Helper()
	c.owned(owner)
	c.kubectl("delete", "gatewaysync", owner, "--namespace=demo")
	c.kubectl("wait", "--for=delete", "webhookdelivery/of-"+owner, "--namespace=demo", "--timeout="+patience.String())
}
