// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"strings"
	"testing"
)

func TestASourceIsToldFromWhatMayHoldASecret(t *testing.T) {
	for _, source := range append(Sources(), "nobody", "gcr.io", strings.Repeat("x", 20)) {
		if !LooksLikeSource(source) {
			t.Errorf("%q is not taken for one", source)
		}
	}
	for _, text := range []string{
		"", "Harbor", "docker.io?secret=x", "docker.io&secret=x", "docker.io;x", "docker.io x", "docker.io/x", "a%26b", "a_b", "a\x00", "é",
		strings.Repeat("x", 21),
	} {
		if LooksLikeSource(text) {
			t.Errorf("%q is taken for one", text)
		}
	}
}
