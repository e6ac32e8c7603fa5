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
	done     chan []Result // buffered, so that writeNext does not wait for a caller that has left
}

func newBatcher(write func(context.Context, postern.TargetKey, []Request) []Result) *batcher {
	return &batcher{write: write, pending: map[postern.TargetKey][]*pendingWrite{}}
}

// do queues requests for a target, and returns their results. If ctx ends first the error is transient: the write may
// be in progress.
func (b *batcher) do(ctx context.Context, key postern.TargetKey, requests []Request) []Result {
	p := &pendingWrite{ctx: ctx, requests: requests, done: make(chan []Result, 1)}
	if ctx.Err() == nil {
		b.add(key, p)
		select {
		case results := <-p.done:
			return results
		case <-ctx.Done():
			b.remove(key, p)
		}
	}
	err := fmt.Errorf("could not write %s in time: %w", key, &transientError{ctx.Err()})
	return failedResults(len(requests), err)
}

// add queues p, and starts to write if no write is in progress.
func (b *batcher) add(key postern.TargetKey, p *pendingWrite) {
	b.mu.Lock()
	defer b.mu.Unlock()
	pending, writing := b.pending[key]
	b.pending[key] = append(pending, p)
	if !writing {
		go b.writeNext(key)
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

// writeNext writes the next batch, for as long as one of its callers may wait, and then starts itself for the one
// after.
func (b *batcher) writeNext(key postern.TargetKey) {
	batch := b.nextBatch(key)
	if batch == nil {
		return
	}
	ctx, cancel := batchContext(batch)
	defer cancel()
	var requests []Request
	for _, p := range batch {
		requests = append(requests, p.requests...)
	}
	var results []Result
	defer func() {
		for _, p := range batch {
			p.done <- results[:len(p.requests):len(p.requests)]
			results = results[len(p.requests):]
		}
		go b.writeNext(key)
	}()
	defer recoverPanic(ctx, key, len(requests), &results)
	results = b.write(ctx, key, requests)
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

// coalesce orders requests for one target by receipt, and finds those that need not be written. Of the git refs that
// were requested for the target by name, only the newest in each slot is written, and before it the last one with an
// event time if the newest has none. Requests that are written only if the target follows them, and images, are all
// written, since a target may not want the newest. Requests with Override, Again or Hold, or without a slot, are
// never skipped.
//
// It returns the indexes of the requests to write, in order, and for the index of each other request the index of the
// one that replaces it.
func coalesce(kind targetKind, requests []Request) (write []int, replacedBy map[int]int) {
	replacedBy = map[int]int{}
	newest, watermarks := map[string]int{}, map[string]watermark{} // by slot
	for _, i := range orderByReceipt(requests) {
		r := requests[i]
		slot := kind.gitSlot(r)
		if r.Image != nil || r.onlyIfFollowed() || r.Override || r.Again || r.Hold != "" || slot == noSlot {
			write = append(write, i)
			continue
		}
		prev, exists := newest[slot]
		last := watermarks[slot]
		if late, _ := last.happenedLater(r); exists && late {
			replacedBy[i] = prev
			continue
		}
		// The target must also record the time of a request that is followed by one without a time.
		if exists && (last.By != r.Source || last.Time.IsZero() || !r.EventTime().IsZero()) {
			replacedBy[prev] = i
			write = slices.DeleteFunc(write, func(w int) bool { return w == prev })
		}
		newest[slot], watermarks[slot] = i, last.followedBy(r)
		write = append(write, i)
	}
	return write, replacedBy
}

// orderByReceipt returns the indexes of requests, those received first before others.
func orderByReceipt(requests []Request) []int {
	order := make([]int, len(requests))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return requests[a].Received.Compare(requests[b].Received) })
	return order
}

// finalReplacement returns the index of the request that is written in place of request i.
func finalReplacement(replacedBy map[int]int, i int) int {
	for {
		next, replaced := replacedBy[i]
		if !replaced {
			return i
		}
		i = next
	}
}

// writeBatch writes requests for one target, and only the newest of those that replace each other. If the target does
// not hold that one in the end, because it is stale or fails by itself, the others are tried.
func (w *Writer) writeBatch(ctx context.Context, key postern.TargetKey, requests []Request) []Result {
	kind, _ := lookupKind(key.Kind)
	results := make([]Result, len(requests))
	write, replacedBy := coalesce(kind, requests)
	for n, result := range w.write(ctx, key, pick(requests, write), false) {
		results[write[n]] = result
	}
	var retry []int
	for _, i := range orderByReceipt(requests) {
		winner := finalReplacement(replacedBy, i)
		if winner == i {
			continue
		}
		settled, ok := supersededResult(requests[i], requests[winner], results[winner])
		if !ok {
			retry = append(retry, i)
			continue
		}
		results[i] = settled
		if settled.Held {
			w.watermarks.record(key, requests[i], kind.gitSlot(requests[i]))
		}
	}
	for n, result := range w.write(ctx, key, markRetried(pick(requests, retry)), false) {
		results[retry[n]] = result
	}
	return results
}

// supersededResult returns the result of a request that was replaced by written. ok is false if the request must be
// tried itself.
func supersededResult(r, written Request, result Result) (settled Result, ok bool) {
	switch {
	case result.Err != nil:
		return result, isTargetError(result.Err)
	case result.OnHold:
		return result, true // the record of written may get lost; see Contest
	case !result.Held:
		late, _ := written.watermark().happenedLater(r)
		return result, late // then r is stale too
	case r.Ref != written.Ref || r.Revision != written.Revision:
		message := fmt.Sprintf("%q was requested after it and replaces it", written.Ref)
		return Result{Reason: ReasonSuperseded, Message: message}, true
	}
	return Result{
		Previous: r.Ref, Held: true, Reason: ReasonAlreadyRequested, UID: result.UID,
		Message: "it was requested more than once at the same time",
	}, true
}

// markRetried marks requests, in place, that must not overwrite requests received after them.
func markRetried(requests []Request) []Request {
	for i := range requests {
		requests[i].Retry = true
	}
	return requests
}

func pick(requests []Request, places []int) []Request {
	picked := make([]Request, len(places))
	for n, i := range places {
		picked[n] = requests[i]
	}
	return picked
}
