// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package fairness

import (
	"context"
	"slices"
	"sync"
)

// Slots bounds how much is done at a time. What finds no slots waits in the queue of its flow; those that become free go
// to the flow that has the fewest, and among equals to the one that was served, or has come, longest ago. No flow may
// have more than its share, so that another finds slots at once. It is safe for concurrent use.
type Slots struct {
	share Share

	mu     sync.Mutex
	inUse  int64
	events int64 // how often a flow came, or was given slots
	queues map[Flow]*queue
}

// queue is what a flow has and waits for.
type queue struct {
	held    int64
	since   int64 // when it was given slots last, or came, in events of Slots
	waiting []*waiter
}

// waiter is a wait for n slots; it comes when that is closed.
type waiter struct {
	n     int64
	ready chan struct{}
}

// NewSlots returns as many slots as the share is of.
func NewSlots(share Share) *Slots { return &Slots{share: share, queues: map[Flow]*queue{}} }

// Acquire waits for n slots, or for all if there are not so many, and returns what gives them back, to be called once. If ctx
// ends first the error is ErrTotal or ErrShare.
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
	if ctx.Err() != nil { // both at once
		s.release(flow, n)
		return nil, ErrTotal
	}
	return func() { s.release(flow, n) }, nil
}

func (s *Slots) enqueue(flow Flow, n int64) *waiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[flow]
	if q == nil {
		s.events++
		q = &queue{since: s.events} // behind those that wait, or ever new flows would keep them waiting
		s.queues[flow] = q
	}
	w := &waiter{n, make(chan struct{})}
	q.waiting = append(q.waiting, w)
	s.dispatch()
	return w
}

// cancel ends the wait and returns what it was for, or nil if the slots were given meanwhile.
func (s *Slots) cancel(flow Flow, w *waiter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[flow]
	i := slices.Index(q.waiting, w)
	if i < 0 {
		return nil
	}
	err := s.share.Check(q.held, s.inUse, w.n)
	if err == nil { // others of the flow were before it
		err = ErrShare
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	s.deleteIfIdle(flow)
	s.dispatch() // for who waits behind
	return err
}

func (s *Slots) release(flow Flow, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inUse -= n
	s.queues[flow].held -= n
	s.deleteIfIdle(flow)
	s.dispatch()
}

// deleteIfIdle drops a flow that has nothing and waits for nothing.
func (s *Slots) deleteIfIdle(flow Flow) {
	if q := s.queues[flow]; q.held == 0 && len(q.waiting) == 0 {
		delete(s.queues, flow)
	}
}

// dispatch gives away the slots that are free.
func (s *Slots) dispatch() {
	for {
		q := s.next()
		if q == nil {
			return
		}
		first := q.waiting[0]
		s.inUse += first.n
		s.events++
		q.held += first.n
		q.since = s.events
		q.waiting = slices.Delete(q.waiting, 0, 1)
		close(first.ready)
	}
}

// next returns whose turn it is, or nil.
func (s *Slots) next() *queue {
	var next *queue
	for _, q := range s.queues {
		if len(q.waiting) == 0 || s.share.Check(q.held, s.inUse, q.waiting[0].n) != nil {
			continue
		}
		if next == nil || q.held < next.held || q.held == next.held && q.since < next.since {
			next = q
		}
	}
	return next
}
