// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestReplicas runs three replicas with an external etcd over TLS, as docs/install/replicas.md says. An update goes
// unnoticed. After a crash no delivery is refused that is sent once more.
func TestReplicas(t *testing.T) {
	w := newWorld(t)
	w.install("manifests/overlays/ha", w.externalEtcd())

	t.Run("rollout restart", func(t *testing.T) {
		o := w.on(t).disturb("rollout restart of three replicas", (*world).restart)
		if o.outage() > 0 {
			t.Errorf("%d deliveries were answered %s, want 2xx only", o.requests, o.answers())
		}
	})
	t.Run("kill -9", func(t *testing.T) {
		// One after the other, since the kube-apiserver may use only one of them.
		o := w.on(t).disturb("kill -9 of each of three replicas", (*world).killEach)
		// Requests in flight at the killed replica fail. Until the kubelet notices, a third of the new connections goes
		// there.
		if o.refused > 0 {
			t.Errorf("%d deliveries were refused twice, want none", o.refused)
		}
	})
}

// killEach kills the process of each replica on the first node, and waits until it is ready again.
func (w *world) killEach() {
	w.t.Helper()
	pids, err := w.Nodes()[0].Run(w.t.Context(), "pgrep", "--exact", "postern")
	if err != nil {
		w.t.Fatal(err)
	}
	var killed int32
	for pid := range strings.FieldsSeq(pids) {
		if _, err := w.Nodes()[0].Run(w.t.Context(), "kill", "-KILL", pid); err != nil {
			w.t.Fatal(err)
		}
		killed++
		w.eventually("the replica is ready again", func(ctx context.Context) error { return w.restarted(ctx, killed) })
	}
}

// restarted returns nil if the containers of all replicas are ready and have been restarted so often together.
func (w *world) restarted(ctx context.Context, times int32) error {
	pods, err := w.kube.CoreV1().Pods(system).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, pod := range pods.Items {
		for _, container := range pod.Status.ContainerStatuses {
			times -= container.RestartCount
			if !container.Ready {
				return fmt.Errorf("%s is not ready", pod.Name)
			}
		}
	}
	if times != 0 {
		return fmt.Errorf("%d restarts are missing", times)
	}
	return nil
}

// externalEtcd starts an etcd for Postern, and returns the patches of manifests/overlays/ha that name it.
func (w *world) externalEtcd() (patches string) {
	w.t.Helper()
	etcd, err := w.StartEtcd()
	if err != nil {
		w.t.Fatal(err)
	}
	w.kubectl("create", "namespace", system)
	w.kubectl("create", "secret", "generic", "postern-etcd-client", "--namespace="+system,
		"--from-file=ca.crt="+etcd.CA, "--from-file=tls.crt="+etcd.Cert, "--from-file=tls.key="+etcd.Key)
	return fmt.Sprintf(`patches:
- patch: |-
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: postern-config, namespace: postern-system}
    data: {etcd.servers: %q}
`, etcd.URL)
}
