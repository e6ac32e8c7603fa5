// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/component-base/metrics/testutil"

	"postern.dev/postern/apis/postern"
)

func TestMain(m *testing.M) {
	RegisterMetrics()
	os.Exit(m.Run())
}

func TestMetrics_PendingAtLeaderOnly(t *testing.T) {
	expect := func(t *testing.T, leading, pending, age int) {
		t.Helper()
		text := fmt.Sprintf(`# HELP postern_leader [BETA] 1 in the replica that retries pending deliveries, `+
			`0 in others. If no replica leads, pending deliveries are not reported.
# TYPE postern_leader gauge
postern_leader %d
# HELP postern_oldest_pending_delivery_age_seconds [BETA] `+
			`Time since the receipt of the delivery that has been pending longest, reported by the leader.
# TYPE postern_oldest_pending_delivery_age_seconds gauge
postern_oldest_pending_delivery_age_seconds %d
# HELP postern_pending_deliveries [BETA] Pending deliveries, reported by the leader.
# TYPE postern_pending_deliveries gauge
postern_pending_deliveries %d
`, leading, age, pending)
		err := testutil.GatherAndCompare(legacyregistry.DefaultGatherer, strings.NewReader(text),
			"postern_pending_deliveries", "postern_oldest_pending_delivery_age_seconds", "postern_leader")
		if err != nil {
			t.Error(err)
		}
	}
	expect(t, 0, 0, 0)
	runRetryTest(t, func(t *testing.T, b *retryFixture) {
		var down atomic.Bool
		down.Store(true)
		b.answer = func(ctx context.Context, d *postern.WebhookDelivery, giveUp bool) error {
			if down.Load() {
				return stillPending(ctx, d, giveUp)
			}
			return nil
		}
		b.source.Add(attempted(b.pendingSince("old", 20*time.Second)))
		b.source.Add(attempted(b.pendingSince("new", 0)))
		stop := b.start(t)
		advance(10 * time.Second)
		expect(t, 1, 2, 30)
		down.Store(false)
		advance(time.Minute)
		expect(t, 1, 0, 0)
		down.Store(true)
		b.source.Add(attempted(b.pendingSince("newer", 0)))
		advance(5 * time.Second)
		expect(t, 1, 1, 5)
		stop()
		expect(t, 0, 0, 0)
	})
}
