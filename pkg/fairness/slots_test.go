// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package fairness

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// work acquires slots for namespaces, holds each for a while, and notes the order of acquisition.
type work struct {
	*Slots
	mu    sync.Mutex
	begun []string
}

// order returns the namespaces in the order in which they acquired slots.
func (w *work) order() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.begun)
}

func (w *work) do(t *testing.T, namespace string, n int, takes time.Duration) {
	t.Helper()
	for range n {
		go func() {
			release, err := w.Acquire(t.Context(), Flow{Namespace: namespace}, 1)
			if err != nil {
				return
			}
			w.mu.Lock()
			w.begun = append(w.begun, namespace)
			w.mu.Unlock()
			<-time.After(takes)
			release()
		}()
	}
	synctest.Wait()
}

func TestANamespaceWithMuchToDoLetsAnotherBeginAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &work{Slots: NewSlots(Share{Total: 4, Percent: 50})}
		w.do(t, "hostile", 100, time.Second)
		if len(w.order()) != 2 {
			t.Errorf("one namespace holds %d of 4 slots, want 2", len(w.order()))
		}
		w.do(t, "honest", 1, time.Millisecond)
		if !slices.Contains(w.order(), "honest") {
			t.Error("the other namespace waits")
		}
		<-time.After(time.Hour)
		synctest.Wait()
		if len(w.order()) != 101 || len(w.queues) != 0 || w.inUse != 0 {
			t.Errorf("%d started, %d namespaces are left, %d slots in use", len(w.order()), len(w.queues), w.inUse)
		}
	})
}

func TestTheNamespaceWithTheFewestSlotsComesNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &work{Slots: NewSlots(Share{Total: 4, Percent: 50})}
		for i := range 8 { // four hold all slots and four wait
			w.do(t, fmt.Sprintf("hostile-%d", i), 50, time.Second)
		}
		before := len(w.order())
		w.do(t, "honest", 1, time.Millisecond)
		<-time.After(3*time.Second + time.Millisecond)
		synctest.Wait()
		if !slices.Contains(w.order()[before:], "honest") {
			t.Errorf("got the slots of twelve requests by nine flows in the order %v", w.order()[before:])
		}
		<-time.After(time.Hour)
	})
}

func TestACancelledWaitTakesNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(Share{Total: 1, Percent: 50})
		release, err := s.Acquire(t.Context(), Flow{Namespace: "a"}, 5) // which is reduced to the total
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Acquire(ctx, Flow{Namespace: "b"}, 1); !errors.Is(err, ErrTotal) {
			t.Errorf("got error %v", err)
		}
		release()
		if len(s.queues) != 0 || s.inUse != 0 {
			t.Errorf("%d namespaces are left, %d slots in use", len(s.queues), s.inUse)
		}
	})
}

func TestEverNewFlowsDoNotKeepOneThatWaitsFromItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &work{Slots: NewSlots(Share{Total: 4, Percent: 50})}
		w.do(t, "honest", 20, 100*time.Millisecond)
		for i := range 200 { // 50 per second, more than a slot can process
			w.do(t, fmt.Sprintf("new-%d", i), 1, 100*time.Millisecond)
			<-time.After(20 * time.Millisecond)
		}
		done := 0
		for _, namespace := range w.order() {
			if namespace == "honest" {
				done++
			}
		}
		if done < 8 {
			t.Errorf("%d of its requests finished in four seconds, want its slots", done)
		}
		<-time.After(time.Hour)
	})
}
