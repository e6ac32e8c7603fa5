// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"os"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/component-base/metrics/testutil"
)

func TestMain(m *testing.M) {
	RegisterMetrics()
	os.Exit(m.Run())
}

func TestEachRequestOverTheRateIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before, err := testutil.GetCounterMetricValue(rateLimited)
		if err != nil {
			t.Fatal(err)
		}
		send := limited(Rate{1, time.Hour}, 1)
		for range 3 {
			send(t.Context(), "/webhook")
		}
		after, err := testutil.GetCounterMetricValue(rateLimited)
		if err != nil {
			t.Fatal(err)
		}
		if got := after - before; got != 2 {
			t.Errorf("got %v more, want 2", got)
		}
	})
}
