// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package script runs artifacts/deliver/deliver.sh for tests, as CI systems do.
package script

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Exit codes of the script, as it documents them.
const (
	Applied = iota
	NotSent
	Refused
	Ignored
	Superseded
	Failed
	Held
	Pending
)

// Shells returns the shells of this machine that run the script: that of Debian, of most others, and of BusyBox, which
// images with curl have.
func Shells() [][]string {
	var found [][]string
	for _, shell := range [][]string{{"dash"}, {"bash", "--posix"}, {"busybox", "sh"}} {
		if path, err := exec.LookPath(shell[0]); err == nil {
			found = append(found, append([]string{path}, shell[1:]...))
		}
	}
	return found
}

// Run is how a script is run.
type Run struct {
	// Shell is the interpreter; sh if it is empty.
	Shell []string
	// Script is its path.
	Script string
	// Dir is its directory for temporary files and its home.
	Dir string
	// Programs are directories before those of the system in PATH.
	Programs string
	// Env are more variables.
	Env map[string]string
}

// Result is what a script has done.
type Result struct {
	Code        int
	Out, ErrOut string
}

func (r Result) String() string {
	return fmt.Sprintf("exit code %d\n%s%s", r.Code, r.Out, r.ErrOut)
}

// Do runs a script until it ends, with no variables but those that are given, and a PATH.
func (r Run) Do(t *testing.T) Result {
	t.Helper()
	shell := r.Shell
	if len(shell) == 0 {
		shell = []string{"sh"}
	}
	cmd := exec.CommandContext(t.Context(), shell[0], append(shell[1:], r.Script)...)
	cmd.Dir = r.Dir
	path := os.Getenv("PATH")
	if r.Programs != "" {
		path = r.Programs + string(filepath.ListSeparator) + path
	}
	cmd.Env = []string{"PATH=" + path, "HOME=" + r.Dir, "TMPDIR=" + r.Dir}
	for name, value := range r.Env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return Result{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// Outputs reads a file of lines NAME=VALUE, such as that of GITHUB_OUTPUT.
func Outputs(t *testing.T, path string) map[string]string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	outputs := map[string]string{}
	for line := range strings.Lines(string(content)) {
		name, value, found := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if _, repeated := outputs[name]; repeated || !found {
			t.Errorf("%s has the line %q", path, line)
		}
		outputs[name] = value
	}
	return outputs
}

// Write writes a file of a test.
func Write(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
