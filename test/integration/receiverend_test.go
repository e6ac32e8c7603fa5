// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// Another server closes the storage that the receiver writes to during shutdown.
func TestReceiver_ShutdownLosesNothing(t *testing.T) {
	s, anonymous := newReceiverSuite(t, "*")
	w := s.newWorld(t)
	token := newSecret()
	w.secret(map[string]string{"token": token})
	const senders = 8
	for i := range senders {
		w.gatewaySync(fmt.Sprint("plant-", i))
	}
	w.untilAccepted(anonymous, w.syncReceiver("plant-0"), byBearer(token))

	var accepted atomic.Int64
	var running sync.WaitGroup
	for i := range senders {
		running.Go(func() {
			for n := 0; ; n++ {
				body := fmt.Sprintf(`{"ref":"v%d"}`, n)
				got, err := anonymous.post(t.Context(), w.syncReceiver(fmt.Sprint("plant-", i)), []byte(body),
					byBearer(token)(body))
				if err != nil { // the receiver has stopped
					return
				}
				switch got.code {
				case http.StatusAccepted:
					accepted.Add(1)
				case http.StatusServiceUnavailable:
				default:
					t.Errorf("got %d: %s", got.code, got.body)
				}
			}
		})
	}
	w.eventually(func() error {
		if n := accepted.Load(); n < 10*senders {
			return fmt.Errorf("%d accepted", n)
		}
		return nil
	})
	if err := s.postern.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	running.Wait()
	if err := s.postern.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() error { // until pending deliveries are applied
		records := w.records()
		for _, record := range records {
			if phase := record.Status.Phase; phase != v1alpha1.DeliveryApplied && phase != v1alpha1.DeliverySuperseded {
				return fmt.Errorf("%s is %s", record.Name, phase)
			}
		}
		if got := int64(len(records)); got < accepted.Load() {
			t.Fatalf("%d records, but %d were accepted", got, accepted.Load())
		}
		return nil
	})
}
