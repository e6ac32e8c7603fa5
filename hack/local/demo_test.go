// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

// screen is the number of lines of a small terminal.
const screen = 24

// The demo is the first command of the README. It needs bin/postern and bin/k8s, which "make test" builds.
func TestDemo_RunsToItsEnd(t *testing.T) {
	var out strings.Builder
	if err := demo(t.Context(), &out, false); err != nil {
		t.Fatal(err)
	}
	_, summary, found := strings.Cut(out.String(), "\n\nAll ")
	if !found {
		t.Fatalf("there is no summary:\n%s", out.String())
	}
	if lines := strings.Count(summary, "\n"); lines > screen {
		t.Errorf("the summary has %d lines, and a screen has %d", lines, screen)
	}
	for _, job := range (&demoRun{}).jobs() {
		if !strings.Contains(summary, job.title) || !strings.Contains(summary, job.result) {
			t.Errorf("the summary lacks %q with its result %q", job.title, job.result)
		}
	}
	if strings.Contains(out.String(), "curl") {
		t.Error("it shows requests, which only -v should")
	}
}
