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

// maxBatch bounds how many requests are written to one target at once, and so
// the size of a patch.
const maxBatch = 64

// batcher lets one write at a time to each target. Requests that come meanwhile wait,
// and go together in the next write, so that a hot target costs one write per round
// trip however many ask for it. Targets don't wait for each other. It is safe for
// concurrent use.
type batcher struct {
	// write carries out requests of one target, in the order in which they came, and
	// returns as many results.
	write func(context.Context, Key, []Request) []Result

	mu sync.Mutex
	// pending has an entry for each target that is being written.
	pending map[Key][]*pendingWrite
}

// pendingWrite is what one delivery asks of the target of a lane.
type pendingWrite struct {
	ctx      context.Context
	requests []Request
	done     chan []Result // has room for one, so that nobody waits for who has left
}

func newBatcher(write func(context.Context, Key, []Request) []Result) *batcher {
	return &batcher{write: write, pending: map[Key][]*pendingWrite{}}
}

// do takes a request through the lane of its target, and returns its result. If the
// context ends before, the error is transient: the request may be under way.
func (b *batcher) do(ctx context.Context, key Key, requests []Request) []Result {
	p := &pendingWrite{ctx: ctx, requests: requests, done: make(chan []Result, 1)}
	if ctx.Err() != nil {
		return timeoutResults(ctx, p, key)
	}
	b.add(key, p)
	select {
	case results := <-p.done:
		return results
	case <-ctx.Done():
		b.remove(key, p)
		return timeoutResults(ctx, p, key)
	}
}

func timeoutResults(ctx context.Context, p *pendingWrite, key Key) []Result {
	err := fmt.Errorf("could not write %s in time: %w", key, &transientError{ctx.Err()})
	return slices.Repeat([]Result{{Err: err}}, len(p.requests))
}

// add makes a request wait, and sets the lane going if nothing moves there.
func (b *batcher) add(key Key, p *pendingWrite) {
	b.mu.Lock()
	defer b.mu.Unlock()
	pending, draining := b.pending[key]
	b.pending[key] = append(pending, p)
	if !draining {
		go b.drain(key)
	}
}

// remove takes a request back that has not set off.
func (b *batcher) remove(key Key, p *pendingWrite) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.pending[key], p); i >= 0 {
		b.pending[key] = slices.Delete(b.pending[key], i, i+1)
	}
}

// nextBatch returns who goes next. When nobody waits it closes the lane.
func (b *batcher) nextBatch(key Key) []*pendingWrite {
	b.mu.Lock()
	defer b.mu.Unlock()
	pending := b.pending[key]
	if len(pending) == 0 {
		delete(b.pending, key)
		return nil
	}
	count, requests := 1, len(pending[0].requests)
	for count < len(pending) && requests+len(pending[count].requests) <= maxBatch {
		requests += len(pending[count].requests)
		count++
	}
	b.pending[key] = slices.Clone(pending[count:])
	return pending[:count]
}

// drain writes until nobody waits.
func (b *batcher) drain(key Key) {
	for batch := b.nextBatch(key); batch != nil; batch = b.nextBatch(key) {
		results := b.flush(key, batch)
		for _, p := range batch {
			p.done <- results[:len(p.requests):len(p.requests)]
			results = results[len(p.requests):]
		}
	}
}

// flush writes what goes together, for as long as any of them would wait.
func (b *batcher) flush(key Key, batch []*pendingWrite) (results []Result) {
	ctx, cancel := batchContext(batch)
	defer cancel()
	var requests []Request
	for _, p := range batch {
		requests = append(requests, p.requests...)
	}
	defer func() {
		if problem := recover(); problem != nil {
			results = slices.Repeat([]Result{{Err: panicError(ctx, key, problem)}}, len(requests))
		}
	}()
	return b.write(ctx, key, requests)
}

// batchContext lives as long as the longest of those that go together. A deadline is
// what ends it, not that somebody leaves.
func batchContext(batch []*pendingWrite) (context.Context, context.CancelFunc) {
	var latest time.Time
	for _, p := range batch {
		deadline, ok := p.ctx.Deadline()
		if !ok {
			return context.WithCancel(context.WithoutCancel(p.ctx))
		}
		if deadline.After(latest) {
			latest = deadline
		}
	}
	return context.WithDeadline(context.WithoutCancel(batch[0].ctx), latest)
}
