// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package uninstall

import (
	"testing"
	"time"

	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

const (
	// patience allows for a busy machine, and for the namespace controller, which retries at least once a minute.
	patience = 3 * time.Minute

	crds       = "artifacts/crds"
	apiService = "v1alpha1.postern.dev"
)

// cluster is a control plane with some of its controllers, and the actions of its administrator.
type cluster struct {
	*testcluster.Cluster
	t *testing.T
}

func newCluster(t *testing.T, controllers ...string) *cluster {
	t.Helper()
	c := testcluster.New(t, controlplane.Options{})
	manager, err := c.StartControllerManager(controllers...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(manager.LogTail())
		}
		if err := manager.Kill(); err != nil {
			t.Error(err)
		}
	})
	return &cluster{c, t}
}

// kubectl runs kubectl as the administrator. The test fails if kubectl fails.
func (c *cluster) kubectl(args ...string) string { return c.feed("", args...) }

// feed is kubectl with standard input.
func (c *cluster) feed(stdin string, args ...string) string {
	c.t.Helper()
	return c.MustKubectl(c.t, stdin, args...)
}

func (c *cluster) installPostern() *controlplane.Postern {
	c.t.Helper()
	rendered, err := c.Render(c.t.Context(), "manifests/base")
	if err != nil {
		c.t.Fatal(err)
	}
	return c.runPostern(rendered)
}

func (c *cluster) runPostern(rendered string) *controlplane.Postern {
	c.t.Helper()
	if err := c.InstallFrom(testcluster.StartContext(c.t), rendered); err != nil {
		c.t.Fatal(err)
	}
	return c.RunPostern(c.t, controlplane.PosternOptions{})
}

// deliver creates a namespace with a GatewaySync and delivers the ref to it.
func (c *cluster) deliver(namespace, ref string) {
	c.t.Helper()
	c.kubectl("create", "namespace", namespace)
	c.feed(testcluster.GatewaySync("plant"), "create", "--namespace="+namespace, "--filename=-")
	c.feed(`
apiVersion: postern.dev/v1alpha1
kind: WebhookDelivery
metadata: {generateName: by-hand-}
spec:
  target: {kind: GatewaySync, name: plant}
  ref: `+ref, "create", "--namespace="+namespace, "--filename=-")
}

func (c *cluster) deleteNamespace(name string) {
	c.t.Helper()
	c.kubectl("delete", "namespace", name, "--timeout="+patience.String())
}
