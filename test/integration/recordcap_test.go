// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOfTooManyDeliveriesTheYoungestAreKept(t *testing.T) {
	const most, made = 20, 50
	s := newSuite(t, fmt.Sprintf("--max-deliveries=%d", most))
	w := s.newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	var names []string // oldest first
	for i := range made {
		body := fmt.Sprintf(`{"ref":"v%d"}`, i)
		names = append(names, ci.mustPost(t, gatewaySyncPath("web"), body, nil, http.StatusAccepted).delivery(t).Name)
	}

	w.eventually(func() error { // deletion is asynchronous, and in batches
		var kept []string
		for _, d := range w.records() {
			kept = append(kept, d.Name)
		}
		if got := len(kept); got > most || got < most*9/10 {
			return fmt.Errorf("%d deliveries are kept, want at most %d and at least nine tenths of that", got, most)
		}
		youngest := slices.Clone(names[made-len(kept):])
		slices.Sort(youngest)
		slices.Sort(kept)
		if diff := cmp.Diff(youngest, kept); diff != "" {
			return fmt.Errorf("kept (-want +got):\n%s", diff)
		}
		const stored = "postern_stored_deliveries"
		if got := s.metrics(t, stored)[stored]; got != float64(len(kept)) {
			return fmt.Errorf("%s is %f, want %d", stored, got, len(kept))
		}
		return nil
	})
	w.mustHold(gatewaySyncs, "web", requestedRef, fmt.Sprintf("v%d", made-1))
}
