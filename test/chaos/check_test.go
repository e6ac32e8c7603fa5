// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"slices"
	"time"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/testcluster"
)

// settleWithin bounds the time until all deliveries have ended after an outage: interrupted ones are not touched for 25
// s (delivery.Grace), and the longest pause between two attempts is shorter.
const settleWithin = 45 * time.Second

// check waits until all deliveries in the namespace have ended and logs the counts. It fails the test if one does not
// end, or if an accepted delivery is lost or failed.
func (w *world) check(l *ledger) {
	w.T.Helper()
	w.checkWith(l, w.settled(settleWithin))
}

// checkWith is check with collected outcomes.
func (w *world) checkWith(l *ledger, outcomes map[string]outcome) {
	w.T.Helper()
	written, err := w.written()
	if err != nil {
		w.T.Fatal(err)
	}
	v := judge(l.all(), evidence{outcomes: outcomes, held: w.held(), written: written})
	w.T.Log(v)
	if len(v.problems) > 0 {
		w.T.Errorf("%d problems:\n%s", len(v.problems), v.first(10))
	}
}

// settled waits until no delivery is pending, and returns all outcomes. A timeout fails the test but does not end it.
func (w *world) settled(within time.Duration) map[string]outcome {
	w.T.Helper()
	deadline := time.Now().Add(within)
	var outcomes map[string]outcome
	var left []v1alpha1.WebhookDelivery
	w.Eventually(within+testcluster.Patience, func() error {
		pending, err := w.pending()
		if err != nil {
			return err // the connection may be broken
		}
		if left = pending; len(left) > 0 && time.Now().Before(deadline) {
			return fmt.Errorf("%d deliveries are pending", len(left))
		}
		records, err := w.records("")
		if err == nil {
			outcomes = outcomesOf(records)
		}
		return err
	})
	if len(left) > 0 {
		w.T.Errorf("%d deliveries are still Pending after %s: %s", len(left), within, names(left))
	}
	return outcomes
}

func outcomesOf(records []v1alpha1.WebhookDelivery) map[string]outcome {
	outcomes := make(map[string]outcome, len(records))
	for _, d := range records {
		outcomes[d.Name] = outcome{d.Status.Phase, d.Status.Reason, d.Status.Message}
	}
	return outcomes
}

// checkPendingEnd fails the test unless all deliveries older than since end within the time limit. Later deliveries may
// come and go.
func (w *world) checkPendingEnd(since time.Time, within time.Duration) {
	w.T.Helper()
	var first []v1alpha1.WebhookDelivery
	w.Eventually(testcluster.Patience, func() error {
		pending, err := w.pending()
		// Creation timestamps have a resolution of a second.
		first = slices.DeleteFunc(pending, func(d v1alpha1.WebhookDelivery) bool {
			return !d.CreationTimestamp.Time.Before(since)
		})
		if err == nil && len(first) > 0 && time.Since(since) < within {
			err = fmt.Errorf("%d deliveries are pending", len(first))
		}
		return err
	})
	if len(first) > 0 {
		w.T.Errorf("%d deliveries are still Pending %s after the cause was fixed: %s", len(first), within, names(first))
	}
}

// since returns the rounded time since t, for messages.
func since(t time.Time) time.Duration { return time.Since(t).Round(time.Millisecond) }
