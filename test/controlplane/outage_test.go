// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"testing"
)

func testAPIServerRestart(t *testing.T, c *ControlPlane) {
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	const manifest = `{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}}`
	if _, err := c.Kubectl(ctx, manifest, "create", "--filename=-"); err != nil {
		t.Fatal(err)
	}
	address := c.Address()
	for name, end := range map[string]func() error{
		"stopped": func() error { return c.StopAPIServer(ctx) },
		"killed":  c.KillAPIServer,
	} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := readyz(ctx, c.admin); err == nil {
			t.Errorf("the kube-apiserver answers after it was %s", name)
		}
		if err := c.StartAPIServer(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Kubectl(ctx, "", "get", "configmap", "kept"); err != nil {
			t.Errorf("after the kube-apiserver was %s: %v", name, err)
		}
	}
	if c.Address() != address {
		t.Errorf("the address is %s, want %s as before", c.Address(), address)
	}
}

func testEtcdCluster(t *testing.T, c *ControlPlane) {
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	etcd, err := c.StartEtcdCluster(ctx, 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := etcd.Stop(); err != nil {
			t.Error(err)
		}
	})
	first, err := etcd.Leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Kill(); err != nil {
		t.Fatal(err)
	}
	second, err := etcd.Leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if second == first {
		t.Errorf("%s is the leader after it was killed", first.Name())
	}
	if err := first.Start(ctx); err != nil {
		t.Error(err)
	}
	testReplicas(t, c, etcd)
}

func testReplicas(t *testing.T, c *ControlPlane, etcd *EtcdCluster) {
	replicas, err := c.StartReplicas(t.Context(), 2, PosternOptions{Etcd: etcd})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := replicas.Kill(); err != nil {
			t.Error(err)
		}
	})
	for _, gone := range replicas.All() {
		if err := gone.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		eventually(t, "the load balancer has seen it", func() bool { return !replicas.balancer.uses(gone.Address()) })
		if out, err := c.Kubectl(t.Context(), "", "get", "webhookdeliveries"); err != nil {
			t.Errorf("with one of two replicas: %s%v", out, err)
		}
		if err := gone.Start(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
