// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestTwoNodes moves the only replica between two nodes, with a volume that both can mount.
func TestTwoNodes(t *testing.T) {
	w := newWorld(t)
	if _, err := w.AddNode(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.AddSharedVolume(t.Context(), posternUser); err != nil {
		t.Fatal(err)
	}
	w.install("manifests/base", "")
	for range w.Nodes() {
		from := w.podNode()
		t.Run("from "+from, func(t *testing.T) {
			there := w.on(t)
			there.disturb("drain of "+from+", to another node", func(w *world) {
				before := w.podUID()
				w.drain(from)
				w.awaitReplacement(before)
			})
			there.kubectl("uncordon", from)
			if to := there.podNode(); to == from {
				t.Errorf("the Pod is still on %s", to)
			}
		})
	}
}

// podNode returns the node of the Pod postern-0.
func (w *world) podNode() string {
	w.t.Helper()
	pod, err := w.kube.CoreV1().Pods(system).Get(w.t.Context(), "postern-0", metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return pod.Spec.NodeName
}
