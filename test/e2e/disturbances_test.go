// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestDisturbances disturbs one replica with the embedded etcd while deliveries arrive. Some are refused meanwhile, but
// none that was accepted is lost.
func TestDisturbances(t *testing.T) {
	w := newWorld(t)
	w.addVolume(w.Nodes()[0])
	w.install("manifests/base", "")
	for _, d := range []struct {
		name string
		do   func(*world)
	}{
		{"rollout restart", (*world).restart},
		{"kill -9", (*world).killPostern},
		{"forced deletion", func(w *world) {
			before := w.podUID()
			w.kubectl("delete", "pod", "postern-0", "--namespace="+system, "--force", "--grace-period=0")
			w.awaitReplacement(before)
		}},
		{"drain", func(w *world) {
			before := w.podUID()
			w.drain("n1")
			w.kubectl("uncordon", "n1")
			w.awaitReplacement(before)
		}},
		{"reboot of the node", func(w *world) {
			first := w.Nodes()[0]
			if err := errors.Join(first.Halt(w.t.Context()), first.Boot(w.t.Context())); err != nil {
				w.t.Fatal(err)
			}
		}},
		{"a minute without containerd", (*world).withoutRuntime},
	} {
		t.Run(d.name, func(t *testing.T) { w.on(t).disturb(d.name, d.do) })
	}
}

// on returns the world for a subtest.
func (w *world) on(t *testing.T) *world {
	there := *w
	there.t = t
	return &there
}

// disturb does something during a load, until deliveries are accepted again.
func (w *world) disturb(name string, do func(*world)) *outcome {
	w.t.Helper()
	l := w.startLoad()
	l.await()
	do(w)
	l.await()
	o := l.end()
	disturbances.add(name, o)
	w.t.Logf("%d deliveries, %s; outage %v, slowest 2xx %v", o.requests, o.answers(), o.outage(), o.slowest)
	return o
}

// restart replaces all replicas, one after the other.
func (w *world) restart() {
	w.t.Helper()
	w.kubectl("rollout", "restart", "statefulset/postern", "--namespace="+system)
	w.awaitRollout()
}

// killPostern kills the process of a replica, whose container is then started again.
func (w *world) killPostern() {
	w.t.Helper()
	w.signalPostern("KILL")
}

// signalPostern sends a signal to the process of the oldest replica on the first node.
func (w *world) signalPostern(signal string) {
	w.t.Helper()
	_, err := w.Nodes()[0].Run(w.t.Context(), "pkill", "-"+signal, "--oldest", "--exact", "postern")
	if err != nil {
		w.t.Fatal(err)
	}
}

// drain evicts the Pod from a node, which is then cordoned.
func (w *world) drain(node string) {
	w.t.Helper()
	w.kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout="+patience.String())
}

// awaitReplacement returns once there is another ready Pod postern-0 than the one with the given UID.
func (w *world) awaitReplacement(uid string) {
	w.t.Helper()
	w.eventually("the Pod is replaced", func(ctx context.Context) error { return w.replaced(ctx, uid) })
}

// withoutRuntime stops the container runtime for a minute. Containers keep running.
func (w *world) withoutRuntime() {
	w.t.Helper()
	first := w.Nodes()[0]
	if err := first.Stop(w.t.Context(), "containerd"); err != nil {
		w.t.Fatal(err)
	}
	select {
	case <-time.After(time.Minute):
	case <-w.t.Context().Done():
	}
	if err := first.Start("containerd"); err != nil {
		w.t.Fatal(err)
	}
}
