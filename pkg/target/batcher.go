// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"postern.dev/postern/apis/postern"
)

// maxBatch bounds the requests in one write, and so the size of a patch, unless one delivery has more.
const maxBatch = 64

// batcher runs one write at a time for each target. Requests that arrive during a write wait and are batched into the
// next one, so that a busy target costs one write per round trip regardless of the number of requests. Targets do not
// wait for each other. It is safe for concurrent use.
type batcher struct {
	// write applies requests to one target in the given order, and returns one result for each.
	write func(context.Context, postern.TargetKey, []Request) []Result

	mu sync.Mutex
	// pending has an entry for each target that is being written.
	pending map[postern.TargetKey][]*pendingWrite
}

// pendingWrite is the requests of one delivery for one target.
type pendingWrite struct {
	ctx      context.Context
	requests []Request
	done     chan []Result // buffered, so that drain does not wait for a caller that has left
}

func newBatcher(write func(context.Context, postern.TargetKey, []Request) []Result) *batcher {
	return &batcher{write: write, pending: map[postern.TargetKey][]*pendingWrite{}}
}

// do queues requests for a target, and returns their results. If ctx ends first the error is transient: the write may
// be in progress.
func (b *batcher) do(ctx context.Context, key postern.TargetKey, requests []Request) []Result {
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

func timeoutResults(ctx context.Context, p *pendingWrite, key postern.TargetKey) []Result {
	err := fmt.Errorf("could not write %s in time: %w", key, &transientError{ctx.Err()})
	return slices.Repeat([]Result{{Err: err}}, len(p.requests))
}

// add queues p, and starts drain if it is not running.
func (b *batcher) add(key postern.TargetKey, p *pendingWrite) {
	b.mu.Lock()
	defer b.mu.Unlock()
	pending, draining := b.pending[key]
	b.pending[key] = append(pending, p)
	if !draining {
		go b.drain(key)
	}
}

// remove removes p from the queue, unless its write has begun.
func (b *batcher) remove(key postern.TargetKey, p *pendingWrite) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.pending[key], p); i >= 0 {
		b.pending[key] = slices.Delete(b.pending[key], i, i+1)
	}
}

// nextBatch removes the next batch from the queue and returns it. If the queue is empty it deletes the queue and
// returns nil.
func (b *batcher) nextBatch(key postern.TargetKey) []*pendingWrite {
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

// drain writes until the queue is empty.
func (b *batcher) drain(key postern.TargetKey) {
	for batch := b.nextBatch(key); batch != nil; batch = b.nextBatch(key) {
		results := b.flush(key, batch)
		for _, p := range batch {
			p.done <- results[:len(p.requests):len(p.requests)]
			results = results[len(p.requests):]
		}
	}
}

// flush writes a batch, for as long as one of its callers may wait.
func (b *batcher) flush(key postern.TargetKey, batch []*pendingWrite) (results []Result) {
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

// batchContext returns a context with the latest deadline of a batch. It is not canceled when a caller leaves.
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
