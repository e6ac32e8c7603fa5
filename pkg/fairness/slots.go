// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package fairness

import (
	"context"
	"slices"
	"sync"
)

// Slots bounds how many things are done at a time. What finds no slot waits in the queue of its namespace; a slot that
// becomes free goes to the namespace that has the fewest, and among equals to the one that was served longest ago. No
// namespace may have more than its share, so that another finds a slot at once. It is safe for concurrent use.
type Slots struct {
	share Share

	mu     sync.Mutex
	all    int64
	served int64 // how often a slot was given
	queues map[string]*queue
}

// queue is what a namespace has and waits for.
type queue struct {
	running int64
	served  int64 // when it was given a slot last, in counts of Slots
	waiting []chan struct{}
}

// NewSlots returns as many slots as the share is of.
func NewSlots(share Share) *Slots { return &Slots{share: share, queues: map[string]*queue{}} }

// Acquire waits for a slot and returns what gives it back, to be called once. The error is that of ctx if it ends first.
func (s *Slots) Acquire(ctx context.Context, namespace string) (release func(), err error) {
	turn := s.enqueue(namespace)
	select {
	case <-turn:
	case <-ctx.Done():
		if s.leave(namespace, turn) {
			return nil, ctx.Err()
		}
	}
	if ctx.Err() != nil { // both at once
		s.giveBack(namespace)
		return nil, ctx.Err()
	}
	return func() { s.giveBack(namespace) }, nil
}

// enqueue returns what is closed when it is the turn of who waits.
func (s *Slots) enqueue(namespace string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[namespace]
	if q == nil {
		q = &queue{}
		s.queues[namespace] = q
	}
	turn := make(chan struct{})
	q.waiting = append(q.waiting, turn)
	s.dispatch()
	return turn
}

// leave ends the wait, and returns false if the slot was given meanwhile.
func (s *Slots) leave(namespace string, turn chan struct{}) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[namespace]
	i := slices.Index(q.waiting, turn)
	if i < 0 {
		return false
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	s.forget(namespace)
	return true
}

func (s *Slots) giveBack(namespace string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	s.queues[namespace].running--
	s.forget(namespace)
	s.dispatch()
}

// forget drops a namespace that has nothing and waits for nothing.
func (s *Slots) forget(namespace string) {
	if q := s.queues[namespace]; q.running == 0 && len(q.waiting) == 0 {
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
		s.all++
		s.served++
		q.running++
		q.served = s.served
		close(q.waiting[0])
		q.waiting = slices.Delete(q.waiting, 0, 1)
	}
}

// next returns whose turn it is, or nil.
func (s *Slots) next() *queue {
	var next *queue
	for _, q := range s.queues {
		if len(q.waiting) == 0 || !s.share.Allows(q.running, s.all, 1) {
			continue
		}
		if next == nil || q.running < next.running || q.running == next.running && q.served < next.served {
			next = q
		}
	}
	return next
}
