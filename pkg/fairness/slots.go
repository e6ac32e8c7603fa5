// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package fairness

import (
	"context"
	"slices"
	"sync"
)

// Slots bounds concurrent work. Requests that find no free slots wait in the queue of their flow. Free slots go to the
// flow that holds the fewest; among equals, to the one that was served, or arrived, longest ago. No flow may hold more
// than its share, so that other flows find slots at once. It is safe for concurrent use.
type Slots struct {
	share Share

	mu     sync.Mutex
	inUse  int64
	clock  int64 // counts arrivals of flows and grants of slots
	queues map[Flow]*queue
}

// queue is the state of a flow.
type queue struct {
	held    int64
	served  int64 // when the flow was last granted slots, or arrived, by the clock of Slots
	waiting []*waiter
}

// waiter waits for n slots. ready is closed when they are granted.
type waiter struct {
	n     int64
	ready chan struct{}
}

// NewSlots returns the slots of a share.
func NewSlots(share Share) *Slots { return &Slots{share: share, queues: map[Flow]*queue{}} }

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
	if ctx.Err() != nil { // granted and canceled at the same time
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
		s.clock++
		q = &queue{served: s.clock} // behind those that wait, which new flows could otherwise starve
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
	s.deleteIfIdle(flow)
	s.dispatch() // those behind it may fit
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

// deleteIfIdle deletes the queue of a flow that holds nothing and waits for nothing.
func (s *Slots) deleteIfIdle(flow Flow) {
	if q := s.queues[flow]; q.held == 0 && len(q.waiting) == 0 {
		delete(s.queues, flow)
	}
}

// dispatch grants the free slots. The caller holds the lock.
func (s *Slots) dispatch() {
	for {
		q := s.next()
		if q == nil {
			return
		}
		first := q.waiting[0]
		s.inUse += first.n
		s.clock++
		q.held += first.n
		q.served = s.clock
		q.waiting = slices.Delete(q.waiting, 0, 1)
		close(first.ready)
	}
}

// next returns the queue to serve next, or nil. The caller holds the lock.
func (s *Slots) next() *queue {
	var next *queue
	for _, q := range s.queues {
		if len(q.waiting) == 0 || s.share.Check(q.held, s.inUse, q.waiting[0].n) != nil {
			continue
		}
		if next == nil || q.held < next.held || q.held == next.held && q.served < next.served {
			next = q
		}
	}
	return next
}
