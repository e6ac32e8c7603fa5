// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// maxTogether bounds how many requests are written to one target at once, and so
// the size of a patch.
const maxTogether = 64

// lanes lets one write at a time to each target. Requests that come meanwhile wait,
// and go together in the next write, so that a hot target costs one write per round
// trip however many ask for it. Targets don't wait for each other. It is safe for
// concurrent use.
type lanes struct {
	// write carries out requests of one target, in the order in which they came, and
	// returns as many results.
	write func(context.Context, Key, []Request) []Result

	mu sync.Mutex
	// waiting has an entry for each target that is being written.
	waiting map[Key][]*passenger
}

// passenger is what one delivery asks of the target of a lane.
type passenger struct {
	ctx      context.Context
	requests []Request
	done     chan []Result // has room for one, so that nobody waits for who has left
}

func newLanes(write func(context.Context, Key, []Request) []Result) *lanes {
	return &lanes{write: write, waiting: map[Key][]*passenger{}}
}

// do takes a request through the lane of its target, and returns its result. If the
// context ends before, the error is transient: the request may be under way.
func (l *lanes) do(ctx context.Context, key Key, requests []Request) []Result {
	p := &passenger{ctx: ctx, requests: requests, done: make(chan []Result, 1)}
	if ctx.Err() != nil {
		return notInTime(ctx, p, key)
	}
	l.enter(key, p)
	select {
	case results := <-p.done:
		return results
	case <-ctx.Done():
		l.leave(key, p)
		return notInTime(ctx, p, key)
	}
}

func notInTime(ctx context.Context, p *passenger, key Key) []Result {
	err := fmt.Errorf("could not write %s in time: %w", key, &transientError{ctx.Err()})
	return slices.Repeat([]Result{{Err: err}}, len(p.requests))
}

// enter makes a request wait, and sets the lane going if nothing moves there.
func (l *lanes) enter(key Key, p *passenger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	waiting, moving := l.waiting[key]
	l.waiting[key] = append(waiting, p)
	if !moving {
		go l.move(key)
	}
}

// leave takes a request back that has not set off.
func (l *lanes) leave(key Key, p *passenger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.waiting[key], p); i >= 0 {
		l.waiting[key] = slices.Delete(l.waiting[key], i, i+1)
	}
}

// next returns who goes next. When nobody waits it closes the lane.
func (l *lanes) next(key Key) []*passenger {
	l.mu.Lock()
	defer l.mu.Unlock()
	waiting := l.waiting[key]
	if len(waiting) == 0 {
		delete(l.waiting, key)
		return nil
	}
	count, requests := 1, len(waiting[0].requests)
	for count < len(waiting) && requests+len(waiting[count].requests) <= maxTogether {
		requests += len(waiting[count].requests)
		count++
	}
	l.waiting[key] = slices.Clone(waiting[count:])
	return waiting[:count]
}

// move writes until nobody waits.
func (l *lanes) move(key Key) {
	for together := l.next(key); together != nil; together = l.next(key) {
		results := l.carry(key, together)
		for _, p := range together {
			p.done <- results[:len(p.requests):len(p.requests)]
			results = results[len(p.requests):]
		}
	}
}

// carry writes what goes together, for as long as any of them would wait.
func (l *lanes) carry(key Key, together []*passenger) (results []Result) {
	ctx, cancel := contextOf(together)
	defer cancel()
	var requests []Request
	for _, p := range together {
		requests = append(requests, p.requests...)
	}
	defer func() {
		if problem := recover(); problem != nil {
			results = slices.Repeat([]Result{{Err: panicked(ctx, key, problem)}}, len(requests))
		}
	}()
	return l.write(ctx, key, requests)
}

// contextOf lives as long as the longest of those that go together. A deadline is
// what ends it, not that somebody leaves.
func contextOf(together []*passenger) (context.Context, context.CancelFunc) {
	var latest time.Time
	for _, p := range together {
		deadline, ok := p.ctx.Deadline()
		if !ok {
			return context.WithCancel(context.WithoutCancel(p.ctx))
		}
		if deadline.After(latest) {
			latest = deadline
		}
	}
	return context.WithDeadline(context.WithoutCancel(together[0].ctx), latest)
}
