// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"testing"
)

// TestNoNamespaceWaitsForAnother blocks one namespace in the middle of a change.
func TestNoNamespaceWaitsForAnother(t *testing.T) {
	x := &imageIndex{}
	notify(x, appWith("honest", "shop", "nginx"), false)
	x.update("hostile", func(*namespaceIndex) {
		if got := found(t, x, "honest", "nginx"); got != "shop" {
			t.Errorf("got %q", got)
		}
		notify(x, appWith("honest", "shop", "redis"), false)
		notify(x, updaterWith("other", "u", "*", "redis"), false)
	})
	if got := found(t, x, "honest", "redis"); got != "shop" {
		t.Errorf("got %q", got)
	}
	notify(x, appWith("honest", "shop", ""), true)
	notify(x, updaterWith("other", "u", "*", "redis"), true)
	if len(x.namespaces) != 0 {
		t.Errorf("%d empty namespaces are kept", len(x.namespaces))
	}
}

// TestAnImageUpdaterIsReadOnceWhenItChanges also updates one without a change, as a watch does after an interruption.
func TestAnImageUpdaterIsReadOnceWhenItChanges(t *testing.T) {
	x := &imageIndex{}
	notify(x, updaterWith("demo", "u", "*", "redis"), false)
	before := x.updatersIn("demo")
	notify(x, updaterWith("demo", "u", "*", "redis"), false)
	if again := x.updatersIn("demo"); len(before) != 1 || len(again) != 1 || again[0] != before[0] {
		t.Errorf("it was read again: %v, %v", before, again)
	}
	notify(x, updaterWith("demo", "u", "*", "nginx"), false)
	if again := x.updatersIn("demo"); len(again) != 1 || again[0] == before[0] {
		t.Errorf("it was not read again: %v", again)
	}
}
