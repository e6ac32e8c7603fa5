// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"errors"
	"testing"
	"time"
)

func TestAwaitReady(t *testing.T) {
	var calls int
	ready := func() error {
		calls++
		if calls < 3 {
			return errors.New("not yet")
		}
		return nil
	}
	if !awaitReady(t.Context(), time.Hour, ready) || calls != 3 {
		t.Errorf("readiness was checked %d times, want 3, and then success", calls)
	}
	never := func() error { return errors.New("never") }
	if awaitReady(t.Context(), time.Millisecond, never) {
		t.Error("what does not get ready is ready")
	}
}
