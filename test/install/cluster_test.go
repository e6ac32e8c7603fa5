// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"postern.dev/postern/test/controlplane"
)

const startTimeout = 3 * time.Minute

// cluster is a control plane for one test.
type cluster struct {
	*controlplane.ControlPlane
	t *testing.T
}

func start(t *testing.T) *cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	c, err := controlplane.Start(ctx, controlplane.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &cluster{c, t}
}

// run starts the installation: two Posterns if it has several replicas, otherwise one.
func (c *cluster) run() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), startTimeout)
	defer cancel()
	set := c.installed()
	if *set.Spec.Replicas == 1 {
		postern, err := c.StartPostern(ctx, controlplane.PosternOptions{})
		if err != nil {
			c.t.Fatal(err)
		}
		c.t.Cleanup(func() { c.mustEnd(postern.Kill()) })
		return
	}
	c.mustKubectl("", "scale", "statefulset/postern", "--namespace="+controlplane.Namespace, "--replicas=2")
	replicas, err := c.StartReplicas(ctx, 2, controlplane.PosternOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { c.mustEnd(replicas.Kill()) })
}

func (c *cluster) mustEnd(err error) {
	if err != nil {
		c.t.Error(err)
	}
}

// installed returns the workload from the kube-apiserver.
func (c *cluster) installed() *appsv1.StatefulSet {
	c.t.Helper()
	set := &appsv1.StatefulSet{}
	out := c.mustKubectl("", "get", "statefulset/postern", "--namespace="+controlplane.Namespace, "--output=json")
	if err := json.Unmarshal([]byte(out), set); err != nil {
		c.t.Fatal(err)
	}
	return set
}

// mustDeliver delivers to a sample object and checks the result.
func (c *cluster) mustDeliver() {
	c.t.Helper()
	const delivery = `{"apiVersion": "postern.dev/v1alpha1", "kind": "WebhookDelivery",
		"metadata": {"name": "first", "namespace": "demo"},
		"spec": {"target": {"kind": "GatewaySync", "name": "plant"}, "ref": "v1.4.0"}}`
	c.mustKubectl("", "create", "namespace", "demo")
	c.mustKubectl("", "apply", "--filename=artifacts/examples/gatewaysync.yaml")
	c.mustKubectl(delivery, "create", "--filename=-")
	c.mustKubectl("", "wait", "--for=condition=Applied", "--timeout=30s", "--namespace=demo", "webhookdelivery/first")
	got := c.mustKubectl("", "get", "gatewaysync/plant", "--namespace=demo",
		`--output=jsonpath={.metadata.annotations.stoker\.io/requested-ref}`)
	if got != "v1.4.0" {
		c.t.Errorf("the requested ref is %q, want v1.4.0", got)
	}
}

func (c *cluster) mustKubectl(stdin string, args ...string) string {
	c.t.Helper()
	out, err := c.Kubectl(c.t.Context(), stdin, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}
