// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAPIReference_IsCurrent(t *testing.T) {
	got, err := reference()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("../../docs/reference/api.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("docs/reference/api.md is not current; run \"make generate\" (-file +types):\n%s", diff)
	}
}
