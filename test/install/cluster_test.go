// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package install tests that the manifests can be installed on a real kube-apiserver, which validates every field, and
// that Postern runs with the installed arguments, environment, files and permissions.
package install

import (
	"encoding/json"
	"testing"

	appsv1 "k8s.io/api/apps/v1"

	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

// cluster is a control plane for one test.
type cluster struct {
	*testcluster.Cluster
	t *testing.T
}

func start(t *testing.T) *cluster {
	t.Helper()
	return &cluster{testcluster.New(t, controlplane.Options{}), t}
}

// run starts the installation: two Posterns if it has several replicas, otherwise one.
func (c *cluster) run() {
	c.t.Helper()
	if *c.installed().Spec.Replicas == 1 {
		c.RunPostern(c.t, controlplane.PosternOptions{})
		return
	}
	c.MustKubectl(c.t, "", "scale", "statefulset/postern", "--namespace="+controlplane.Namespace, "--replicas=2")
	c.RunReplicas(c.t, 2, controlplane.PosternOptions{})
}

// installed returns the workload from the kube-apiserver.
func (c *cluster) installed() *appsv1.StatefulSet {
	c.t.Helper()
	set := &appsv1.StatefulSet{}
	out := c.MustKubectl(c.t, "", "get", "statefulset/postern", "--namespace="+controlplane.Namespace, "--output=json")
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
	c.MustKubectl(c.t, "", "create", "namespace", "demo")
	c.MustKubectl(c.t, "", "apply", "--filename=artifacts/examples/gatewaysync.yaml")
	c.MustKubectl(c.t, delivery, "create", "--filename=-")
	c.MustKubectl(c.t, "", "wait", "--for=condition=Applied", "--timeout=30s", "--namespace=demo",
		"webhookdelivery/first")
	got := c.MustKubectl(c.t, "", "get", "gatewaysync/plant", "--namespace=demo",
		`--output=jsonpath={.metadata.annotations.stoker\.io/requested-ref}`)
	if got != "v1.4.0" {
		c.t.Errorf("the requested ref is %q, want v1.4.0", got)
	}
}
