// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"postern.dev/postern/apis/postern"
)

// Starting at half a second, each backoff is twice the last, up to about fifteen seconds, and differs between targets.
func TestRetry_BackoffIsBounded(t *testing.T) {
	runRetryTest(t, func(t *testing.T, b *retryFixture) {
		b.source.Add(attempted(b.pendingSince("d", 0)))
		b.answer = stillPending
		defer b.start(t)()
		advance(2 * time.Minute)
		calls := b.tried()
		if len(calls) < 10 {
			t.Fatalf("tried %d times in two minutes, want ten at least", len(calls))
		}
		shortest := 500 * time.Millisecond
		for i := range calls[1:] {
			pause := calls[i+1].After - calls[i].After
			if longest := shortest + shortest/5; pause < shortest || pause > longest || pause > 15*time.Second {
				t.Errorf("backoff %d is %s, want %s to %s", i, pause, shortest, longest)
			}
			shortest = min(2*shortest, 12*time.Second)
		}
	})
}

func TestRetry_BackoffResetsAfterSuccess(t *testing.T) {
	runRetryTest(t, func(t *testing.T, b *retryFixture) {
		var up atomic.Bool
		b.answer = func(ctx context.Context, d *postern.WebhookDelivery, giveUp bool) error {
			if up.Load() {
				return nil
			}
			return stillPending(ctx, d, giveUp)
		}
		defer b.start(t)()
		b.source.Add(attempted(to("plant", b.pendingSince("first", 0))))
		advance(time.Minute)
		up.Store(true)
		advance(time.Minute)
		up.Store(false)
		b.tried()
		b.source.Add(attempted(to("plant", b.pendingSince("second", 0))))
		advance(700 * time.Millisecond)
		if got := len(b.tried()); got != 2 {
			t.Errorf("tried %d times in the first 0.7 s, want 2", got)
		}
	})
}

// A delivery that is still pending at the end of the window is tried a last time.
func TestRetry_GivesUpAfterWindow(t *testing.T) {
	runRetryTest(t, func(t *testing.T, b *retryFixture) {
		b.source.Add(attempted(b.pendingSince("d", 0)))
		b.answer = func(ctx context.Context, d *postern.WebhookDelivery, giveUp bool) error {
			if giveUp {
				return nil
			}
			return stillPending(ctx, d, giveUp)
		}
		defer b.start(t)()
		advance(2 * window)
		calls := b.tried()
		for i, c := range calls {
			if last := i == len(calls)-1; c.GiveUp != last || c.GiveUp != (c.After > window) {
				t.Errorf("try %d of %d, after %s: got giveUp %t", i+1, len(calls), c.After, c.GiveUp)
			}
		}
		if last := calls[len(calls)-1]; last.After > window+15*time.Second {
			t.Errorf("given up after %s, want at most 15 s after the window", last.After)
		}
	})
}
