// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/delivery"
)

// waiting marks a delivery as one whose Applications wait for their turn.
func waiting(d *postern.WebhookDelivery) *postern.WebhookDelivery {
	d.Status.Reason = delivery.ReasonPaced
	d.Status.Targets = []postern.TargetResult{{
		Kind: postern.TargetApplication, Name: "a", Result: postern.TargetPending, Reason: delivery.ReasonPaced,
	}}
	return d
}

// triedAfterSync is tried, with whole seconds: the first list takes a fraction of one.
func (b *retryFixture) triedAfterSync() []resumeCall {
	calls := b.tried()
	for i := range calls {
		calls[i].After = calls[i].After.Truncate(time.Second)
	}
	return calls
}

// The pause neither grows, as after failures, nor ends early with the update of the record that each try makes.
func TestRetry_PacedHasFixedPause(t *testing.T) {
	runRetryTest(t, func(t *testing.T, b *retryFixture) {
		b.source.Add(waiting(b.pendingSince("d", 0)))
		b.answer = func(_ context.Context, d *postern.WebhookDelivery, _ bool) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			if len(b.calls) == 5 {
				return nil
			}
			b.source.Modify(d.DeepCopy())
			return delivery.ErrPaced
		}
		defer b.start(t)()
		advance(time.Minute)
		var want []resumeCall
		for i := range 5 {
			want = append(want, resumeCall{"d", time.Duration(i+1) * delivery.PaceInterval, false})
		}
		if diff := cmp.Diff(want, b.triedAfterSync()); diff != "" {
			t.Errorf("tries (-want +got):\n%s", diff)
		}
	})
}

func TestRetry_PacedEndsWithWindow(t *testing.T) {
	runRetryTest(t, func(t *testing.T, b *retryFixture) {
		b.source.Add(waiting(b.pendingSince("d", window-3*time.Second)))
		b.answer = func(_ context.Context, _ *postern.WebhookDelivery, giveUp bool) error {
			if giveUp {
				return nil
			}
			return delivery.ErrPaced
		}
		defer b.start(t)()
		advance(time.Minute)
		want := []resumeCall{{"d", delivery.PaceInterval, false}, {"d", 2 * delivery.PaceInterval, true}}
		if diff := cmp.Diff(want, b.triedAfterSync()); diff != "" {
			t.Errorf("tries (-want +got):\n%s", diff)
		}
	})
}
