// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestProcess_DiesWithParent(t *testing.T) {
	dir := t.TempDir()
	parent := exec.Command(os.Args[0])
	parent.Dir, parent.Env = dir, []string{helperVariable + "=parent"}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = parent.Process.Kill() })

	var child pidRecord
	eventually(t, "the child is up", func() bool {
		record, err := readPIDFile(filepath.Join(dir, "child.pid"))
		child = record
		return err == nil && child.alive()
	})
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // it fails because the parent was killed
	eventually(t, "the child is gone", func() bool { return !child.alive() })
}
