// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package naming

import (
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"

	"postern.dev/postern/apis/postern"
)

func FuzzValidateRef(f *testing.F) {
	for _, tt := range refTests {
		f.Add(tt.ref)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		err := ValidateRef(ref)
		if err != nil {
			checkError(t, err)
			return
		}
		if len(ref) > maxRefBytes || !utf8.ValidString(ref) || strings.ContainsAny(ref, " ~^:?*[\\\x00\n\r\t\x7f") {
			t.Fatalf("accepted %q", ref)
		}
		if short, refType := ShortRef(headsPrefix + ref); short != ref || refType != postern.RefTypeBranch {
			t.Fatalf("ShortRef(refs/heads/%q) = %q, %q", ref, short, refType)
		}
		if ValidateRef(headsPrefix+ref) == nil {
			t.Fatalf("accepted two spellings of %q", ref)
		}
		// A valid ref is also valid in a directory, as in a remote-tracking ref.
		if len(ref) < maxRefBytes-2 && ValidateRef("o/"+ref) != nil {
			t.Fatalf("o/%q is not valid", ref)
		}
		for component := range strings.SplitSeq(ref, "/") {
			if component == "" || component[0] == '.' || strings.HasSuffix(component, ".lock") {
				t.Fatalf("accepted the component %q of %q", component, ref)
			}
		}
	})
}

// checkError checks that an error can be displayed.
func checkError(t *testing.T, err error) {
	t.Helper()
	message := err.Error()
	if message == "" || len(message) > 1000 || !utf8.ValidString(message) || strings.ContainsAny(message, "\n\r\x1b") {
		t.Fatalf("the message is not safe to display: %q", message)
	}
}

// FuzzValidateRefAgainstGit runs git for each ref, so it is slow.
func FuzzValidateRefAgainstGit(f *testing.F) {
	for _, tt := range refTests {
		f.Add(tt.ref)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		if ValidateRef(ref) != nil {
			return
		}
		if err := exec.CommandContext(t.Context(), "git", "check-ref-format", "--allow-onelevel",
			ref).Run(); err != nil {
			t.Fatalf("accepted %q, which git refuses", ref)
		}
	})
}
