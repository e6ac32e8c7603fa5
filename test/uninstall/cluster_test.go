// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package uninstall

import (
	"context"
	"testing"
	"time"

	"postern.dev/postern/test/controlplane"
)

const (
	// patience allows for a busy machine, and for the namespace controller, which retries at least once a minute.
	patience = 3 * time.Minute

	crds       = "artifacts/crds"
	apiService = "v1alpha1.postern.dev"
)

// cluster is a control plane with some of its controllers, and the actions of its administrator.
type cluster struct {
	*controlplane.ControlPlane
	t *testing.T
}

func newCluster(t *testing.T, controllers ...string) *cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cp, err := controlplane.Start(ctx, controlplane.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cp.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	manager, err := cp.StartControllerManager(controllers...)
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
	return &cluster{ControlPlane: cp, t: t}
}

// kubectl runs kubectl as the administrator. The test fails if kubectl fails.
func (c *cluster) kubectl(args ...string) string { return c.feed("", args...) }

// feed is kubectl with standard input.
func (c *cluster) feed(stdin string, args ...string) string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	out, err := c.Kubectl(ctx, stdin, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
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
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	if err := c.InstallFrom(ctx, rendered); err != nil {
		c.t.Fatal(err)
	}
	postern, err := c.StartPostern(ctx, controlplane.PosternOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if err := postern.Kill(); err != nil {
			c.t.Error(err)
		}
	})
	return postern
}

// deliver creates a namespace with a GatewaySync and delivers the ref to it.
func (c *cluster) deliver(namespace, ref string) {
	c.t.Helper()
	c.kubectl("create", "namespace", namespace)
	c.feed(`
apiVersion: stoker.io/v1alpha1
kind: GatewaySync
metadata: {name: plant}
spec:
  git: {repo: "https://github.com/example/plant.git", ref: main}
  gateway: {api: {secretName: key}}
  sync: {profiles: {default: {mappings: [{source: a/, destination: b/}]}}}`,
		"create", "--namespace="+namespace, "--filename=-")
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
