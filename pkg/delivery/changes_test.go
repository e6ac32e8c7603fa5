// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
)

func TestFieldChanges_AreExactOrCutOff(t *testing.T) {
	long := strings.Repeat("ä", maxChangeBytes)
	got := fieldChanges([]target.Change{
		{Field: "stoker.io/requested-ref", Old: `v1 "; spec "x" → `, New: "v2"},
		{Field: "postern.dev/requested-revision", Old: "abc"},
		{Field: "spec.source.targetRevision", Old: long, New: "v2"},
	})
	want := []postern.FieldChange{
		{Field: "stoker.io/requested-ref", Old: `v1 "; spec "x" → `, New: "v2"},
		{Field: "postern.dev/requested-revision", Old: "abc"},
		{Field: "spec.source.targetRevision", Old: got[2].Old, New: "v2"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if old := got[2].Old; len(old) > maxChangeBytes || !strings.HasSuffix(old, "…") {
		t.Errorf("a value of %d bytes became one of %d", len(long), len(old))
	}
}

func TestFieldChanges_AreBounded(t *testing.T) {
	if got := fieldChanges(make([]target.Change, 100)); len(got) != maxChanges {
		t.Errorf("got %d changes", len(got))
	}
	if got := fieldChanges(nil); got != nil {
		t.Errorf("got %v of no change", got)
	}
}
