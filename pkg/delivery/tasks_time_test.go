// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
)

// A sender whose clock is wrong must not outdate what others ask for later.
func TestAnEventHappenedNoLaterThanItCameIn(t *testing.T) {
	for name, test := range map[string]struct{ happened, want time.Time }{
		"before":    {received.Add(-time.Hour), received.Add(-time.Hour)},
		"just then": {received, received},
		"later":     {received.Add(time.Microsecond), received.Truncate(time.Second)},
		"in a year": {received.AddDate(1, 0, 0), received.Truncate(time.Second)},
		"unknown":   {time.Time{}, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newDefaultPipeline()
			p.onMutate = func(d *postern.WebhookDelivery) error {
				if !test.happened.IsZero() {
					d.Spec.Events[0].Time = &metav1.MicroTime{Time: test.happened}
				}
				return nil
			}
			var recorded *metav1.MicroTime
			p.onRecord = func(d *postern.WebhookDelivery) error { recorded = d.Spec.Events[0].Time; return nil }
			if _, err := p.Deliver(t.Context(), toPlant(), release(), false); err != nil {
				t.Fatal(err)
			}
			if got := p.request.EventTime; !got.Equal(test.want) {
				t.Errorf("asked for as of %s, want %s", got, test.want)
			}
			if recorded != nil && !recorded.Time.Equal(test.happened) {
				t.Errorf("recorded as of %s, want what the sender said", recorded)
			}
		})
	}
}

// Replicas order what they retry by the time of receipt, read from the record and kept on the target.
func TestTheTimeOfReceiptIsWhatTheRecordKeepsOfIt(t *testing.T) {
	p := newDefaultPipeline()
	delivered, err := p.Deliver(t.Context(), toPlant(), release(), false)
	if err != nil {
		t.Fatal(err)
	}
	p.Drain()
	text, err := delivered.Status.ReceivedTime.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var read metav1.MicroTime
	if err := read.UnmarshalJSON(text); err != nil {
		t.Fatal(err)
	}
	if !read.Time.Equal(p.request.Received) || !read.Time.Equal(received) {
		t.Errorf("recorded %s, asked for as of %s, want %s", read, p.request.Received, received)
	}
}
