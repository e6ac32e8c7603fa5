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
		o := w.on(t).killEach()
		disturbances.add("kill -9 of each of three replicas", o)
		// Requests in flight at the killed replica fail. Until the kubelet notices, a third of the new connections goes
		// there.
		if o.refused > 0 {
			t.Errorf("%d deliveries were refused twice, want none", o.refused)
		}
	})
	t.Run("a process that hangs", func(t *testing.T) {
		o := w.on(t).disturb("one of three replicas hangs", func(w *world) {
			w.restartedBy(func() { w.signalPostern("STOP") })
		})
		if o.outage() > hanging {
			t.Errorf("deliveries were refused for %v, want %v at most", o.outage(), hanging)
		}
	})
}

// killEach kills the process of each replica during a load, one after the other, since the kube-apiserver may use only
// one of them. In between deliveries are accepted for a while.
func (w *world) killEach() *outcome {
	w.t.Helper()
	l := w.startLoad()
	l.await()
	pids, err := w.Nodes()[0].Run(w.t.Context(), "pgrep", "--exact", "postern")
	if err != nil {
		w.t.Fatal(err)
	}
	for pid := range strings.FieldsSeq(pids) {
		w.restartedBy(func() {
			if _, err := w.Nodes()[0].Run(w.t.Context(), "kill", "-KILL", pid); err != nil {
				w.t.Fatal(err)
			}
		})
		l.await()
	}
	return l.end()
}

// restartedBy does what ends the process of a replica, and waits until it has been restarted and all are ready.
func (w *world) restartedBy(do func()) {
	w.t.Helper()
	before, err := w.restarts(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	do()
	w.eventually("a container is restarted", func(ctx context.Context) error {
		now, err := w.restarts(ctx)
		if err == nil && now == before {
			err = fmt.Errorf("there are %d restarts as before", now)
		}
		return err
	})
}

// restarts returns how often the containers of all replicas have been restarted, or an error if one is not ready.
func (w *world) restarts(ctx context.Context) (n int32, err error) {
	pods, err := w.kube.CoreV1().Pods(system).List(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, err
	}
	for _, pod := range pods.Items {
		for _, container := range pod.Status.ContainerStatuses {
			n += container.RestartCount
			if !container.Ready {
				return 0, fmt.Errorf("%s is not ready", pod.Name)
			}
		}
	}
	return n, nil
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
