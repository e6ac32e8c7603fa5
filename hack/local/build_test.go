// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// build builds a program of its own module with hack/build.sh.
func build(t *testing.T, program string) (built, output string, err error) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"go.mod": "module example.com/program\n", "main.go": program} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	built = filepath.Join(dir, "program")
	command := exec.CommandContext(t.Context(), "../build.sh", "a program", "-C="+dir, "-o", built, ".")
	out, err := command.CombinedOutput()
	return built, string(out), err
}

func TestBuild_BuildsAndKeepsQuiet(t *testing.T) {
	built, output, err := build(t, "package main\n\nfunc main() { println(\"done\") }\n")
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	said, err := exec.CommandContext(t.Context(), built).CombinedOutput()
	if err != nil || string(said) != "done\n" {
		t.Errorf("the program says %q (error %v)", said, err)
	}
	if strings.Contains(output, "example.com") {
		t.Errorf("it lists packages:\n%s", output)
	}
}

func TestBuild_FailsWithTheErrorsOfTheCompiler(t *testing.T) {
	_, output, err := build(t, "package main\n\nfunc main() { nothing() }\n")
	if err == nil || !strings.Contains(output, "main.go:3:15: undefined: nothing") {
		t.Errorf("want the error of the compiler, got %v\n%s", err, output)
	}
}
