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

func TestSlots_BusyNamespaceDelaysNoOther(t *testing.T) {
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

func TestSlots_FewestSlotsNext(t *testing.T) {
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

func TestSlots_CanceledWaitTakesNone(t *testing.T) {
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

func TestSlots_NewFlowsDoNotStarveWaiting(t *testing.T) {
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

// pacedWork does endless work in pieces of a tenth of a second until ctx ends. total returns how long it held slots.
func pacedWork(ctx context.Context, slots *Slots, flow Flow) (total func() time.Duration) {
	var mu sync.Mutex
	var had time.Duration
	for range 10 {
		go func() {
			for {
				release, err := slots.Acquire(ctx, flow, 1)
				if err != nil {
					return
				}
				<-time.After(100 * time.Millisecond)
				release()
				mu.Lock()
				had += 100 * time.Millisecond
				mu.Unlock()
			}
		}()
	}
	return func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return had
	}
}

func TestSlots_PaceLimitsEndlessWork(t *testing.T) {
	pace := Pace{Rate: 0.25, Burst: time.Second}
	for _, test := range []struct {
		name   string
		flow   Flow
		others bool
		// in a minute, of two slots of which a flow may hold one
		least, most time.Duration
	}{
		{"alone", Flow{Namespace: "greedy"}, false, 59 * time.Second, 61 * time.Second},
		{"next to others", Flow{Namespace: "greedy"}, true, 15 * time.Second, 18 * time.Second},
		{"for no single namespace", Flow{}, true, 59 * time.Second, 61 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				slots := NewPacedSlots(Share{Total: 2, Percent: 50}, pace)
				ctx, stop := context.WithCancel(t.Context())
				had := pacedWork(ctx, slots, test.flow)
				for range 120 {
					if test.others {
						began := time.Now()
						release, err := slots.Acquire(t.Context(), Flow{Namespace: "modest"}, 1)
						if waited := time.Since(began); err != nil || waited > 0 {
							t.Errorf("another flow waited %s: %v", waited, err)
						}
						release()
					}
					<-time.After(500 * time.Millisecond)
				}
				stop()
				<-time.After(time.Second) // for the work in progress
				if got := had(); got < test.least || got > test.most {
					t.Errorf("it had a slot for %s, want %s to %s", got, test.least, test.most)
				}
			})
		})
	}
}

func TestSlots_IdleFlowIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slots := NewPacedSlots(Share{Total: 2, Percent: 50}, Pace{Rate: 0.25, Burst: time.Second})
		for _, name := range []string{"a", "b"} {
			release, err := slots.Acquire(t.Context(), Flow{Namespace: name}, 1)
			if err != nil {
				t.Fatal(err)
			}
			<-time.After(10 * time.Second)
			release()
		}
		<-time.After(time.Hour)
		release, err := slots.Acquire(t.Context(), Flow{Namespace: "c"}, 1)
		if err != nil {
			t.Fatal(err)
		}
		release()
		if len(slots.queues) != 1 {
			t.Errorf("%d flows are remembered, want the last one", len(slots.queues))
		}
	})
}
