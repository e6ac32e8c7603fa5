// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
)

// The sender has to send it again, and may do so after a newer delivery, which takes precedence.
func TestReceipts_UnrecordedWriteKeepsReceipt(t *testing.T) {
	testBothWays(t, func(t *testing.T, arrange func(*pipeline)) {
		p := newDefaultPipeline()
		arrange(p)
		deliver := func(id string) error {
			_, err := p.Deliver(t.Context(), toPlant(), push(id, pushed), false)
			return err
		}
		refuse := func(*postern.WebhookDelivery) error { return errors.New("etcd is slow") }
		take := func(*postern.WebhookDelivery) error { return nil }
		for step, test := range []struct {
			id      string
			record  func(*postern.WebhookDelivery) error
			receipt int // index of the receipt of the write
		}{
			{"d-1", refuse, 0},
			{"d-2", take, 1},
			{"d-1", refuse, 0},
			{"d-1", take, 0},
			{"d-1", take, 4}, // its record was deleted, so it is a new delivery
		} {
			p.onRecord = test.record
			before := p.stamps
			err := deliver(test.id)
			settle(p)
			failed := err != nil
			if failed != (test.record(nil) != nil) || failed && answered(t, err).Code != http.StatusServiceUnavailable {
				t.Fatalf("step %d: got %v", step, err)
			}
			if got := p.request.Received.Sub(received).Microseconds(); got != int64(test.receipt) || p.stamps != before+
				1 {
				t.Errorf("step %d: written with receipt %d, want %d", step, got, test.receipt)
			}
		}
		p.Drain()
	})
}

func TestReceipts_AreBounded(t *testing.T) {
	r := newReceipts()
	at := func(i int) *postern.WebhookDelivery {
		d := toPlant()
		d.Status.Identity, d.Status.ReceivedTime = fmt.Sprint(i), &metav1.MicroTime{Time: received}
		return d
	}
	for i := range maxReceipts + 1 {
		r.note(at(i))
	}
	if r.of(at(0)) != nil || r.of(at(maxReceipts)) == nil {
		t.Errorf("more than %d receipts are remembered, or the last is not", maxReceipts)
	}
}
