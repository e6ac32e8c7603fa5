// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package fairness

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Slots bounds concurrent work. Requests that find no free slots wait in the queue of their flow. Free slots go to the
// flow that holds the fewest; among equals, to the one that was served, or arrived, longest ago. No flow may hold more
// than its share, so that other flows find slots at once. It is safe for concurrent use.
type Slots struct {
	share Share
	pace  Pace

	mu     sync.Mutex
	inUse  int64
	clock  int64 // counts arrivals of flows and grants of slots
	queues map[Flow]*queue
	wake   time.Time // when the timer dispatches again; zero if none is set
}

// Pace limits the total time for which a flow holds slots while other flows are active. Without it, a flow with endless
// work takes all time that others leave, and their work waits in the run queues of the processors, which do not know
// flows. A flow without a namespace is not limited: it serves many. The zero value does not limit.
type Pace struct {
	// Rate is in slot-seconds per second.
	Rate float64
	// Burst is the slot time that a flow may take before that.
	Burst time.Duration
}

// activeFor is how long a flow counts as active after it held a slot.
const activeFor = time.Second

// queue is the state of a flow.
type queue struct {
	held    int64
	served  int64 // when the flow was last granted slots, or arrived, by the clock of Slots
	waiting []*waiter

	lastHeld    time.Time     // when the flow last released slots
	used        *rate.Limiter // of the microseconds for which it held slots; nil without a Pace
	pausedUntil time.Time
}

// waiter waits for n slots. ready is closed when they are granted.
type waiter struct {
	n     int64
	ready chan struct{}
}

// NewSlots returns the slots of a share.
func NewSlots(share Share) *Slots { return NewPacedSlots(share, Pace{}) }

// NewPacedSlots returns the slots of a share, which each flow takes at a pace.
func NewPacedSlots(share Share, pace Pace) *Slots {
	return &Slots{share: share, pace: pace, queues: map[Flow]*queue{}}
}

func (s *Slots) newQueue(flow Flow) *queue {
	s.clock++
	q := &queue{served: s.clock} // behind those that wait, which new flows could otherwise starve
	if s.pace.Rate > 0 && flow.Namespace != "" {
		q.used = rate.NewLimiter(rate.Limit(s.pace.Rate*1e6), int(s.pace.Burst.Microseconds()))
	}
	return q
}

// Acquire waits for n slots, or for all if n is more. The caller must call release once. If ctx ends first, the error
// is ErrTotal or ErrShare.
func (s *Slots) Acquire(ctx context.Context, flow Flow, n int64) (release func(), err error) {
	n = min(n, s.share.Total)
	w := s.enqueue(flow, n)
	select {
	case <-w.ready:
	case <-ctx.Done():
		if err := s.cancel(flow, w); err != nil {
			return nil, err
		}
	}
	start := time.Now()
	if ctx.Err() != nil { // granted and canceled at the same time
		s.release(flow, n, start)
		return nil, ErrTotal
	}
	return func() { s.release(flow, n, start) }, nil
}

func (s *Slots) enqueue(flow Flow, n int64) *waiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[flow]
	if q == nil {
		q = s.newQueue(flow)
		s.queues[flow] = q
	}
	w := &waiter{n, make(chan struct{})}
	q.waiting = append(q.waiting, w)
	s.dispatch()
	return w
}

// cancel removes a waiter and returns the error for its flow, or nil if it was granted its slots concurrently.
func (s *Slots) cancel(flow Flow, w *waiter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[flow]
	i := slices.Index(q.waiting, w)
	if i < 0 {
		return nil
	}
	err := s.share.Check(q.held, s.inUse, w.n)
	if err == nil { // it waited behind others of its flow
		err = ErrShare
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	s.dispatch() // those behind it may fit
	return err
}

func (s *Slots) release(flow Flow, n int64, start time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, now := s.queues[flow], time.Now()
	s.inUse -= n
	q.held -= n
	q.lastHeld = now
	if q.used != nil && s.othersActive(q, now) {
		q.charge(n, now.Sub(start), now)
	}
	s.dispatch()
}

// othersActive reports whether another flow holds or waits for slots, or held some a moment ago.
func (s *Slots) othersActive(than *queue, now time.Time) bool {
	for _, q := range s.queues {
		if q != than && (q.held > 0 || len(q.waiting) > 0 || now.Sub(q.lastHeld) < activeFor) {
			return true
		}
	}
	return false
}

// charge pauses a queue that held n slots for a time until its pace allows more.
func (q *queue) charge(n int64, held time.Duration, now time.Time) {
	for left := n * held.Microseconds(); left > 0; {
		part := min(left, int64(q.used.Burst())) // the most that can be reserved at once
		q.pausedUntil = now.Add(q.used.ReserveN(now, int(part)).DelayFrom(now))
		left -= part
	}
}

// isIdle reports whether a queue holds nothing, waits for nothing, and is equivalent to a new one.
func (q *queue) isIdle(now time.Time) bool {
	return q.held == 0 && len(q.waiting) == 0 &&
		(q.used == nil || now.Sub(q.lastHeld) >= activeFor && q.used.TokensAt(now) >= float64(q.used.Burst()))
}

// dispatch grants the free slots and deletes idle queues. The caller holds the lock.
func (s *Slots) dispatch() {
	now := time.Now()
	for {
		q := s.next(now)
		if q == nil {
			break
		}
		first := q.waiting[0]
		s.inUse += first.n
		s.clock++
		q.held += first.n
		q.served = s.clock
		q.waiting = slices.Delete(q.waiting, 0, 1)
		close(first.ready)
	}
	s.dispatchLater(now)
}

// next returns the queue to serve next, or nil. The caller holds the lock.
func (s *Slots) next(now time.Time) *queue {
	var next *queue
	for flow, q := range s.queues {
		if q.isIdle(now) {
			delete(s.queues, flow)
			continue
		}
		if len(q.waiting) == 0 || now.Before(q.pausedUntil) || s.share.Check(q.held, s.inUse, q.waiting[0].n) != nil {
			continue
		}
		if next == nil || q.held < next.held || q.held == next.held && q.served < next.served {
			next = q
		}
	}
	return next
}

// dispatchLater dispatches again when the pause of the first waiting flow ends. The caller holds the lock.
func (s *Slots) dispatchLater(now time.Time) {
	var first time.Time
	for _, q := range s.queues {
		if len(q.waiting) > 0 && now.Before(q.pausedUntil) && (first.IsZero() || q.pausedUntil.Before(first)) {
			first = q.pausedUntil
		}
	}
	if first.IsZero() || !s.wake.IsZero() && !first.Before(s.wake) {
		return
	}
	s.wake = first
	time.AfterFunc(first.Sub(now), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.wake = time.Time{}
		s.dispatch()
	})
}
