// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern"
)

// Retries in progress are stopped and no others are started, because the storage is closed next.
func TestRetry_NothingStartsAfterStop(t *testing.T) {
	runRetryTest(t, func(t *testing.T, b *retryFixture) {
		for i := range 3 * retryWorkers {
			b.source.Add(attempted(b.pendingSince(fmt.Sprintf("d%02d", i), 0)))
		}
		b.answer = func(ctx context.Context, _ *postern.WebhookDelivery, _ bool) error {
			<-ctx.Done()
			advance(time.Second)
			return ctx.Err()
		}
		stop := b.start(t)
		advance(time.Minute)
		const share = retryWorkers * retrySharePercent / 100
		if got := len(b.tried()); got != share {
			t.Errorf("%d of one namespace are tried concurrently, want %d", got, share)
		}
		before := time.Now()
		stop()
		if took := time.Since(before); took != time.Second {
			t.Errorf("Start returned after %s, want 1 s, when the last try ended", took)
		}
		advance(time.Minute)
		if got := b.tried(); got != nil {
			t.Errorf("started after the stop: %v", names(got))
		}
	})
}

func TestRetry_StopsBeforeFirstList(t *testing.T) {
	runRetryTest(t, func(t *testing.T, b *retryFixture) {
		b.source.ListError = errors.New("the storage is not ready")
		stop := b.start(t)
		advance(time.Minute)
		stop()
		if got := b.tried(); got != nil {
			t.Errorf("tried %v", names(got))
		}
	})
}

// The next leader retries all pending deliveries.
func TestRetry_NewControllerContinues(t *testing.T) {
	runRetryTest(t, func(t *testing.T, b *retryFixture) {
		b.source.Add(attempted(b.pendingSince("a", 0)))
		b.source.Add(b.pendingSince("b", 0))
		b.answer = stillPending
		stop := b.start(t)
		advance(time.Minute)
		stop()
		b.tried()
		advance(time.Minute)
		if got := b.tried(); got != nil {
			t.Errorf("tried %v after the stop", names(got))
		}
		b.answer = func(context.Context, *postern.WebhookDelivery, bool) error { return nil }
		defer b.start(t)()
		advance(time.Second)
		got := names(b.tried())
		slices.Sort(got)
		if diff := cmp.Diff([]string{"a", "b"}, got); diff != "" {
			t.Errorf("tries (-want +got):\n%s", diff)
		}
	})
}
