// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package fairness

import (
	"context"
	"slices"
	"sync"
)

// Slots bounds how much is done at a time. What finds no slots waits in the queue of its namespace; those that become
// free go to the namespace that has the fewest, and among equals to the one that was served longest ago. No namespace
// may have more than its share, so that another finds slots at once. It is safe for concurrent use.
type Slots struct {
	share Share

	mu     sync.Mutex
	all    int64
	served int64 // how often slots were given
	queues map[string]*queue
}

// queue is what a namespace has and waits for.
type queue struct {
	held    int64
	served  int64 // when it was given slots last, in counts of Slots
	waiting []*turn
}

// turn is a wait for n slots; it comes when that is closed.
type turn struct {
	n     int64
	comes chan struct{}
}

// NewSlots returns as many slots as the share is of.
func NewSlots(share Share) *Slots { return &Slots{share: share, queues: map[string]*queue{}} }

// Acquire waits for n slots, or for all if there are not so many, and returns what gives them back, to be called once.
// The error is that of ctx if it ends first.
func (s *Slots) Acquire(ctx context.Context, namespace string, n int64) (release func(), err error) {
	n = min(n, s.share.Total)
	turn := s.enqueue(namespace, n)
	select {
	case <-turn.comes:
	case <-ctx.Done():
		if s.leave(namespace, turn) {
			return nil, ctx.Err()
		}
	}
	if ctx.Err() != nil { // both at once
		s.giveBack(namespace, n)
		return nil, ctx.Err()
	}
	return func() { s.giveBack(namespace, n) }, nil
}

func (s *Slots) enqueue(namespace string, n int64) *turn {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[namespace]
	if q == nil {
		q = &queue{}
		s.queues[namespace] = q
	}
	t := &turn{n, make(chan struct{})}
	q.waiting = append(q.waiting, t)
	s.dispatch()
	return t
}

// leave ends the wait, and returns false if the slots were given meanwhile.
func (s *Slots) leave(namespace string, t *turn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[namespace]
	i := slices.Index(q.waiting, t)
	if i < 0 {
		return false
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	s.forget(namespace)
	s.dispatch() // for who waits behind
	return true
}

func (s *Slots) giveBack(namespace string, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all -= n
	s.queues[namespace].held -= n
	s.forget(namespace)
	s.dispatch()
}

// forget drops a namespace that has nothing and waits for nothing.
func (s *Slots) forget(namespace string) {
	if q := s.queues[namespace]; q.held == 0 && len(q.waiting) == 0 {
		delete(s.queues, namespace)
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
		s.all += first.n
		s.served++
		q.held += first.n
		q.served = s.served
		q.waiting = slices.Delete(q.waiting, 0, 1)
		close(first.comes)
	}
}

// next returns whose turn it is, or nil.
func (s *Slots) next() *queue {
	var next *queue
	for _, q := range s.queues {
		if len(q.waiting) == 0 || !s.share.Allows(q.held, s.all, q.waiting[0].n) {
			continue
		}
		if next == nil || q.held < next.held || q.held == next.held && q.served < next.served {
			next = q
		}
	}
	return next
}
