// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"errors"
	"sync"
	"testing"
)

func TestTurnsAreTakenByOneAtATimeAndLeaveNothingBehind(t *testing.T) {
	var waiting turns
	key := Key{Kind: KindGatewaySync, Namespace: "demo", Name: "plant"}
	var group sync.WaitGroup
	writing := 0 // without a lock of its own: the race detector tells if two have a turn
	for range 50 {
		group.Go(func() {
			done, err := waiting.take(t.Context(), key)
			if err != nil {
				t.Error(err)
				return
			}
			defer done()
			writing++
			if writing != 1 {
				t.Errorf("%d have a turn at once", writing)
			}
			writing--
		})
	}
	group.Wait()
	if len(waiting.targets) != 0 {
		t.Errorf("%d targets are still remembered", len(waiting.targets))
	}
}

func TestATurnIsNotWaitedForLongerThanTheContextLives(t *testing.T) {
	var waiting turns
	key := Key{Kind: KindGatewaySync, Namespace: "demo", Name: "plant"}
	done, err := waiting.take(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := waiting.take(ended, key); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
	other, err := waiting.take(t.Context(), Key{Kind: KindApplication, Namespace: "demo", Name: "plant"})
	if err != nil {
		t.Fatalf("another target had to wait: %v", err)
	}
	other()
	done()
	if len(waiting.targets) != 0 {
		t.Errorf("%d targets are still remembered", len(waiting.targets))
	}
}
