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

// Slots bounds how much is done at a time. What finds no slots waits in the queue of its flow; those that become free go
// to the flow that has the fewest, and among equals to the one that was served, or has come, longest ago. No flow may
// have more than its share, so that another finds slots at once. It is safe for concurrent use.
type Slots struct {
	share Share
	pace  Pace

	mu     sync.Mutex
	all    int64
	events int64 // how often a flow came, or was given slots
	queues map[Flow]*queue
	wake   time.Time // when a timer looks at the queues again; zero if none is set
}

// Pace bounds for how long in all a flow may have slots while others are served, too. What is worked on without an end would
// else take all the time that others leave, and they would wait in the processors' queues, which know no flows. What is for no
// single namespace is not bounded: it is for many. The zero value bounds nothing.
type Pace struct {
	// Rate is in slot seconds a second.
	Rate float64
	// Burst is how many slot seconds go before that.
	Burst time.Duration
}

// activeFor is how long after it had a slot a flow counts as one that is served.
const activeFor = time.Second

// queue is what a flow has and waits for.
type queue struct {
	held    int64
	since   int64 // when it was given slots last, or came, in events of Slots
	waiting []*turn

	served time.Time     // when it gave slots back last
	used   *rate.Limiter // of the microseconds for which it had a slot
	rests  time.Time     // until when it gets none
}

// turn is a wait for n slots; it comes when that is closed.
type turn struct {
	n     int64
	comes chan struct{}
}

// NewSlots returns as many slots as the share is of.
func NewSlots(share Share) *Slots { return NewPacedSlots(share, Pace{}) }

// NewPacedSlots returns as many slots as the share is of, of which each flow has some at a pace.
func NewPacedSlots(share Share, pace Pace) *Slots {
	return &Slots{share: share, pace: pace, queues: map[Flow]*queue{}}
}

func (s *Slots) newQueue(flow Flow) *queue {
	s.events++
	q := &queue{since: s.events} // behind those that wait, or ever new flows would keep them waiting
	if s.pace.Rate > 0 && flow.Namespace != "" {
		q.used = rate.NewLimiter(rate.Limit(s.pace.Rate*1e6), int(s.pace.Burst.Microseconds()))
	}
	return q
}

// Acquire waits for n slots, or for all if there are not so many, and returns what gives them back, to be called once. If ctx
// ends first the error is ErrTotal or ErrShare.
func (s *Slots) Acquire(ctx context.Context, flow Flow, n int64) (release func(), err error) {
	n = min(n, s.share.Total)
	turn := s.enqueue(flow, n)
	select {
	case <-turn.comes:
	case <-ctx.Done():
		if err := s.leave(flow, turn); err != nil {
			return nil, err
		}
	}
	began := time.Now()
	if ctx.Err() != nil { // both at once
		s.giveBack(flow, n, began)
		return nil, ErrTotal
	}
	return func() { s.giveBack(flow, n, began) }, nil
}

func (s *Slots) enqueue(flow Flow, n int64) *turn {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[flow]
	if q == nil {
		q = s.newQueue(flow)
		s.queues[flow] = q
	}
	t := &turn{n, make(chan struct{})}
	q.waiting = append(q.waiting, t)
	s.dispatch()
	return t
}

// leave ends the wait and returns what it was for, or nil if the slots were given meanwhile.
func (s *Slots) leave(flow Flow, t *turn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[flow]
	i := slices.Index(q.waiting, t)
	if i < 0 {
		return nil
	}
	err := s.share.Check(q.held, s.all, t.n)
	if err == nil { // others of the flow were before it
		err = ErrShare
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	s.dispatch() // for who waits behind
	return err
}

func (s *Slots) giveBack(flow Flow, n int64, began time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, now := s.queues[flow], time.Now()
	s.all -= n
	q.held -= n
	q.served = now
	if q.used != nil && s.othersAreServed(q, now) {
		q.rest(n, now.Sub(began), now)
	}
	s.dispatch()
}

// othersAreServed reports whether any other flow has or waits for slots, or had some just now.
func (s *Slots) othersAreServed(than *queue, now time.Time) bool {
	for _, q := range s.queues {
		if q != than && (q.held > 0 || len(q.waiting) > 0 || now.Sub(q.served) < activeFor) {
			return true
		}
	}
	return false
}

// rest makes a queue that had n slots for a time wait until its pace allows more.
func (q *queue) rest(n int64, had time.Duration, now time.Time) {
	for left := n * had.Microseconds(); left > 0; {
		part := min(left, int64(q.used.Burst()))
		q.rests = now.Add(q.used.ReserveN(now, int(part)).DelayFrom(now))
		left -= part
	}
}

// isIdle reports whether a queue has nothing, waits for nothing, and would be like a new one.
func (q *queue) isIdle(now time.Time) bool {
	return q.held == 0 && len(q.waiting) == 0 &&
		(q.used == nil || now.Sub(q.served) >= activeFor && q.used.TokensAt(now) >= float64(q.used.Burst()))
}

// dispatch gives away the slots that are free, and drops flows that are idle.
func (s *Slots) dispatch() {
	now := time.Now()
	for {
		q := s.next(now)
		if q == nil {
			break
		}
		first := q.waiting[0]
		s.all += first.n
		s.events++
		q.held += first.n
		q.since = s.events
		q.waiting = slices.Delete(q.waiting, 0, 1)
		close(first.comes)
	}
	s.dispatchLater(now)
}

// next returns whose turn it is, or nil.
func (s *Slots) next(now time.Time) *queue {
	var next *queue
	for flow, q := range s.queues {
		if q.isIdle(now) {
			delete(s.queues, flow)
			continue
		}
		if len(q.waiting) == 0 || now.Before(q.rests) || s.share.Check(q.held, s.all, q.waiting[0].n) != nil {
			continue
		}
		if next == nil || q.held < next.held || q.held == next.held && q.since < next.since {
			next = q
		}
	}
	return next
}

// dispatchLater dispatches again when the first flow that waits has rested.
func (s *Slots) dispatchLater(now time.Time) {
	var first time.Time
	for _, q := range s.queues {
		if len(q.waiting) > 0 && now.Before(q.rests) && (first.IsZero() || q.rests.Before(first)) {
			first = q.rests
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
