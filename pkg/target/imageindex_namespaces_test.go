// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"testing"
)

// TestNoNamespaceWaitsForAnother holds one namespace in the middle of a change.
func TestNoNamespaceWaitsForAnother(t *testing.T) {
	x := &imageIndex{}
	tell(x, appWith("honest", "shop", "nginx"), false)
	x.update("hostile", func(*namespaceIndex) {
		if got := found(t, x, "honest", "nginx"); got != "shop" {
			t.Errorf("got %q", got)
		}
		tell(x, appWith("honest", "shop", "redis"), false)
		tell(x, updaterWith("other", "u", "*", "redis"), false)
	})
	if got := found(t, x, "honest", "redis"); got != "shop" {
		t.Errorf("got %q", got)
	}
	tell(x, appWith("honest", "shop", ""), true)
	tell(x, updaterWith("other", "u", "*", "redis"), true)
	if len(x.namespaces) != 0 {
		t.Errorf("%d empty namespaces are kept", len(x.namespaces))
	}
}

// TestAnImageUpdaterIsReadOnceWhenItChanges tells of one again without a change, as a
// watch does after an interruption.
func TestAnImageUpdaterIsReadOnceWhenItChanges(t *testing.T) {
	x := &imageIndex{}
	tell(x, updaterWith("demo", "u", "*", "redis"), false)
	before := x.updatersIn("demo")
	tell(x, updaterWith("demo", "u", "*", "redis"), false)
	if again := x.updatersIn("demo"); len(before) != 1 || len(again) != 1 || again[0] != before[0] {
		t.Errorf("it was read again: %v, %v", before, again)
	}
	tell(x, updaterWith("demo", "u", "*", "nginx"), false)
	if again := x.updatersIn("demo"); len(again) != 1 || again[0] == before[0] {
		t.Errorf("it was not read again: %v", again)
	}
}
