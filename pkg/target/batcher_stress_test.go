// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"postern.dev/postern/apis/postern"
)

// writeCounts counts requests and writes.
type writeCounts struct {
	// inFlight is not synchronized on purpose: the race detector finds overlapping writes to one target, and the count
	// does without it.
	inFlight map[postern.TargetKey]*int
	written  sync.Map // ref to how often
	requests atomic.Int64
	writes   atomic.Int64
}

func (c *writeCounts) write(t *testing.T) func(context.Context, postern.TargetKey, []Request) []Result {
	return func(_ context.Context, key postern.TargetKey, requests []Request) []Result {
		*c.inFlight[key]++
		if n := *c.inFlight[key]; n != 1 || len(requests) == 0 || len(requests) > maxBatch {
			t.Errorf("%d writes to %s, the last of %d requests", n, key, len(requests))
		}
		c.writes.Add(1)
		c.requests.Add(int64(len(requests)))
		results := make([]Result, len(requests))
		for i, r := range requests {
			if _, twice := c.written.LoadOrStore(r.Ref, true); twice {
				t.Errorf("%s is written twice", r.Ref)
			}
			results[i].Message = r.Ref
		}
		runtime.Gosched() // so that other requests arrive
		*c.inFlight[key]--
		return results
	}
}

func TestBatcher_LosesNoRequest(t *testing.T) {
	const goroutines, requests, targets = 64, 200, 5
	synctest.Test(t, func(t *testing.T) { // ends only when no goroutine is left
		count := &writeCounts{inFlight: map[postern.TargetKey]*int{}}
		for i := range targets {
			count.inFlight[keyOf(i)] = new(int)
		}
		batcher := newBatcher(count.write(t))
		var answered, left atomic.Int64
		var running sync.WaitGroup
		for g := range goroutines {
			running.Go(func() {
				r := rand.New(rand.NewPCG(11, uint64(g)))
				for n := range requests {
					ref := fmt.Sprintf("%d/%d", g, n)
					ctx, cancel := context.WithCancel(t.Context())
					leaves := r.IntN(4) == 0
					if leaves {
						go cancel()
					}
					outcome, err := doOne(ctx, batcher, keyOf(r.IntN(targets)),
						Request{DeliveryEvent: &postern.DeliveryEvent{Ref: ref}})
					cancel()
					switch {
					case err == nil && outcome.Message == ref:
						answered.Add(1)
					case leaves && IsTransient(err):
						left.Add(1)
					default:
						t.Errorf("%s got %+v and error %v", ref, outcome, err)
					}
				}
			})
		}
		running.Wait()
		expectEmpty(t, batcher)
		if answered.Load()+left.Load() != goroutines*requests {
			t.Errorf("%d got a result and %d left", answered.Load(), left.Load())
		}
		if written := count.requests.Load(); written < answered.Load() || written > goroutines*requests {
			t.Errorf("%d were written, and %d got a result", written, answered.Load())
		}
		if writes := count.writes.Load(); writes >= count.requests.Load() {
			t.Errorf("%d writes for %d requests: none were batched", writes, count.requests.Load())
		}
	})
}

func keyOf(i int) postern.TargetKey {
	return postern.TargetKey{Kind: postern.TargetGatewaySync, Namespace: "demo", Name: fmt.Sprint("plant-", i)}
}
