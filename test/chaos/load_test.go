// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"k8s.io/client-go/util/flowcontrol"

	"postern.dev/postern/test/testcluster"
)

// senders is the number of concurrent requests.
const senders = 16

// load delivers to all targets in turn until it is stopped.
type load struct {
	w      *world
	ledger *ledger
	cancel context.CancelFunc
	// requests counts started requests; the count names their refs.
	requests atomic.Int64
	work     sync.WaitGroup
	// again limits the rate of retries, which would otherwise keep the machine busy during an outage.
	again flowcontrol.RateLimiter
}

// startLoad delivers as fast as answers arrive, or at the given rate per second.
func (w *world) startLoad(perSecond float32) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{w: w, ledger: &ledger{}, cancel: cancel, again: flowcontrol.NewTokenBucketRateLimiter(50, senders)}
	pace := flowcontrol.NewFakeAlwaysRateLimiter()
	if perSecond > 0 {
		pace = flowcontrol.NewTokenBucketRateLimiter(perSecond, 1)
	}
	for range senders {
		l.work.Go(func() {
			for pace.Wait(ctx) == nil && ctx.Err() == nil {
				l.sendNext(ctx)
			}
		})
	}
	w.T.Cleanup(l.stop)
	return l
}

func (l *load) sendNext(ctx context.Context) {
	number := int(l.requests.Add(1))
	g := l.w.targets[number%len(l.w.targets)]
	if got := l.ledger.send(l.w.ci, plain(g, fmt.Sprintf("r%d", number))); !got.accepted() {
		_ = l.again.Wait(ctx) // the caller checks ctx
	}
}

// stop waits for requests in flight. It is idempotent.
func (l *load) stop() {
	l.cancel()
	l.work.Wait()
}

// awaitAccepted waits until this many more requests have been accepted.
func (l *load) awaitAccepted(more int) {
	l.w.T.Helper()
	wanted := l.ledger.accepted() + more
	l.w.Eventually(testcluster.Patience, func() error {
		if got := l.ledger.accepted(); got < wanted {
			return fmt.Errorf("%d requests were accepted, want %d; the latest answer: %s", got, wanted,
				l.ledger.latest())
		}
		return nil
	})
}

func (l *ledger) latest() string {
	all := l.all()
	if len(all) == 0 {
		return "none"
	}
	return fmt.Sprintf("%d %s", all[len(all)-1].code, all[len(all)-1].refusal)
}

// sendAll sends requests with bounded concurrency, and returns when all are answered.
func (l *ledger) sendAll(s sender, requests []request) {
	next := make(chan request)
	var work sync.WaitGroup
	for range senders {
		work.Go(func() {
			for r := range next {
				l.send(s, r)
			}
		})
	}
	for _, r := range requests {
		next <- r
	}
	close(next)
	work.Wait()
}

// onlyCodes fails the test if a request was answered with another code, or not at all.
func (w *world) onlyCodes(l *ledger, allowed ...int) {
	w.T.Helper()
	shown := 0
	for _, e := range l.all() {
		if slices.Contains(allowed, e.code) {
			continue
		}
		if shown++; shown <= 5 {
			w.T.Errorf("%s to %s, sent %s ago: got %s, want one of %v", e.ref, e.target, since(e.began), e.refusal,
				allowed)
		}
	}
}
