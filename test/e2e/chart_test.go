// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"path/filepath"
	"testing"
)

// TestChart installs, upgrades, rolls back and uninstalls the chart. What was delivered before each step is there
// afterwards.
func TestChart(t *testing.T) {
	w := newWorld(t)
	w.addVolume(w.Nodes()[0])
	set := []string{"--set=image.repository=" + suite.image.name, "--set=image.tag=" + suite.image.tag}

	w.helm("install", append(set, "charts/postern", "--create-namespace")...)
	w.awaitRollout()
	disturbances.add("helm upgrade", w.change(func() {
		w.helm("upgrade", append(set, "charts/postern", "--set=extraArgs={--delivery-ttl=24h}")...)
		w.awaitRollout()
	}))
	disturbances.add("helm rollback", w.change(func() {
		w.helm("rollback", "1")
		w.awaitRollout()
	}))

	// In the order of docs/uninstall.md.
	w.kubectl("delete", "apiservice", "v1alpha1.postern.dev")
	w.helm("uninstall")
	w.kubectl("delete", "namespace", system, "--timeout="+patience.String())
	w.kubectl("delete", "namespace", namespace, "--timeout="+patience.String())
}

// change does something during a load, and checks that the Pod was replaced.
func (w *world) change(do func()) *outcome {
	w.t.Helper()
	before := w.podUID()
	l := w.startLoad()
	l.await()
	do()
	l.await()
	if w.podUID() == before {
		w.t.Error("the Pod was not replaced")
	}
	return l.end()
}

// helm runs a command of helm for the release.
func (w *world) helm(command string, args ...string) {
	w.t.Helper()
	program := filepath.Join(suite.repository, "bin", "tools", "helm")
	args = append([]string{command, "postern", "--namespace=" + system}, args...)
	if output, err := w.Client(w.t.Context(), program, args...).CombinedOutput(); err != nil {
		w.t.Fatalf("helm %q, which \"make helm\" builds: %v: %s", args, err, output)
	}
}
