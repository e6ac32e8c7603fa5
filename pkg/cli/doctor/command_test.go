// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Messages quote objects and senders, which may try to write to the terminal.
func TestPrintFinding_OneLineEach(t *testing.T) {
	var out strings.Builder
	for _, f := range []Finding{
		{Step: "Target", Level: OK, Message: "it exists"},
		{Step: "Deliveries", Level: Fault, Message: "v1\x1b[2J\nok     Target: \u202e", Command: "kubectl get x"},
	} {
		if err := printFinding(&out, f); err != nil {
			t.Fatal(err)
		}
	}
	want := `ok     Target: it exists
FAULT  Deliveries: v1\x1b[2J\nok     Target: \u202e
       kubectl get x
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

func TestSummary_Counts(t *testing.T) {
	for want, levels := range map[string][]Level{
		"Found no fault and no warning.":                               {OK, Note},
		"Found 1 fault and 2 warnings.":                                {Fault, Warning, Warning},
		"Found 2 faults and no warning. 1 part could not be examined.": {Fault, Fault, Unknown},
		"Found no fault and 1 warning. 2 parts could not be examined.": {Unknown, Warning, Unknown},
	} {
		var findings []Finding
		for _, level := range levels {
			findings = append(findings, Finding{Level: level})
		}
		if got := summary(findings); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
