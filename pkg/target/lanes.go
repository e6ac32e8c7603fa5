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
	write func(context.Context, Key, []Request) []result

	mu sync.Mutex
	// waiting has an entry for each target that is being written.
	waiting map[Key][]*passenger
}

// passenger is a request in a lane.
type passenger struct {
	ctx     context.Context
	request Request
	done    chan result // has room for one, so that nobody waits for who has left
}

// result is what came of a request.
type result struct {
	outcome Outcome
	err     error
}

func newLanes(write func(context.Context, Key, []Request) []result) *lanes {
	return &lanes{write: write, waiting: map[Key][]*passenger{}}
}

// do takes a request through the lane of its target, and returns its result. If the
// context ends before, the error is transient: the request may be under way.
func (l *lanes) do(ctx context.Context, key Key, r Request) (Outcome, error) {
	p := &passenger{ctx: ctx, request: r, done: make(chan result, 1)}
	l.enter(key, p)
	select {
	case result := <-p.done:
		return result.outcome, result.err
	case <-ctx.Done():
		l.leave(key, p)
		return Outcome{}, fmt.Errorf("could not write %s in time: %w", key, &transientError{ctx.Err()})
	}
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
	count := min(len(waiting), maxTogether)
	l.waiting[key] = slices.Clone(waiting[count:])
	return waiting[:count]
}

// move writes until nobody waits.
func (l *lanes) move(key Key) {
	for together := l.next(key); together != nil; together = l.next(key) {
		for i, result := range l.carry(key, together) {
			together[i].done <- result
		}
	}
}

// carry writes what goes together, for as long as any of them would wait.
func (l *lanes) carry(key Key, together []*passenger) (results []result) {
	ctx, cancel := contextOf(together)
	defer cancel()
	defer func() {
		if problem := recover(); problem != nil {
			results = slices.Repeat([]result{{err: panicked(ctx, key, problem)}}, len(together))
		}
	}()
	requests := make([]Request, len(together))
	for i, p := range together {
		requests[i] = p.request
	}
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
