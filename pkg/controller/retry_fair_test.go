// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/apis/postern"
)

// A target that hangs occupies a worker for as long as a retry may take.
func TestRetry_HangingTargetsDelayNoOtherNamespace(t *testing.T) {
	runRetryTest(t, func(t *testing.T, b *retryFixture) {
		const hangs = 30 * time.Second
		b.answer = func(ctx context.Context, d *postern.WebhookDelivery, giveUp bool) error {
			if d.Namespace != "hostile" {
				return nil
			}
			select {
			case <-ctx.Done():
			case <-time.After(hangs):
			}
			return stillPending(ctx, d, giveUp)
		}
		for i := range 1000 {
			d := attempted(to(fmt.Sprintf("t%d", i), b.pendingSince(fmt.Sprintf("hostile-%d", i), time.Minute)))
			d.Namespace = "hostile"
			b.source.Add(d)
		}
		stop := b.start(t)
		defer stop()
		advance(5 * time.Second)
		if hanging := len(b.tried()); hanging != retryWorkers/2 {
			t.Errorf("%d tries of one namespace are in progress, want %d", hanging, retryWorkers/2)
		}
		for i := range 20 {
			b.source.Add(attempted(to(fmt.Sprintf("t%d", i), b.pendingSince(fmt.Sprintf("honest-%d", i), time.Minute))))
		}
		advance(time.Second)
		honest := slices.DeleteFunc(names(b.tried()), func(name string) bool {
			return !strings.HasPrefix(name, "honest-")
		})
		if len(honest) != 20 {
			t.Errorf("%d of 20 of another namespace were tried within a second", len(honest))
		}
	})
}
