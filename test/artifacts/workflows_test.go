// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package artifacts

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

var (
	makeTargets = regexp.MustCompile(`(?m)^([a-z-]+):`)
	makeCalls   = regexp.MustCompile(`\bmake ([a-z-]+)`)
	actionUses  = regexp.MustCompile(`uses: (\S+)`)
	pinned      = regexp.MustCompile(`^[\w-]+/[\w-]+@[0-9a-f]{40}$`)
)

// Workflows run the same targets as a developer, and actions that are pinned to a commit.
func TestWorkflows_CallTargetsOfTheMakefile(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]bool{}
	for _, match := range makeTargets.FindAllSubmatch(makefile, -1) {
		targets[string(match[1])] = true
	}
	workflows, err := filepath.Glob("../../.github/workflows/*.yaml")
	if err != nil || len(workflows) == 0 {
		t.Fatalf("found no workflows (%v)", err)
	}
	for _, path := range workflows {
		workflow, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		calls := makeCalls.FindAllSubmatch(workflow, -1)
		if len(calls) == 0 {
			t.Errorf("%s calls no target", path)
		}
		for _, call := range calls {
			if !targets[string(call[1])] {
				t.Errorf("%s calls make %s, which does not exist", path, call[1])
			}
		}
		for _, use := range actionUses.FindAllSubmatch(workflow, -1) {
			if !pinned.Match(use[1]) {
				t.Errorf("%s uses %s, which is not pinned to a commit", path, use[1])
			}
		}
	}
}
