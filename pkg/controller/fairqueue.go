// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"strings"
	"sync"

	"k8s.io/client-go/util/workqueue"

	"postern.dev/postern/pkg/fairness"
)

// retrySharePercent bounds the workers of one namespace, so that the others do not wait for its targets.
const retrySharePercent = 50

type retryQueue = workqueue.TypedRateLimitingInterface[string]

// fairQueue is a work queue of groups that hands out no more groups of a namespace than its share of the workers. The
// others wait in fairness.Slots, one goroutine each.
type fairQueue struct {
	retryQueue
	start    func()
	slots    *fairness.Slots
	granted  chan string
	releases sync.Map // of func(), by group in progress
}

// newFairQueue returns a fairQueue that must be shut down when ctx is done.
func newFairQueue(ctx context.Context, name string, limiter workqueue.TypedRateLimiter[string]) *fairQueue {
	q := &fairQueue{
		retryQueue: workqueue.NewTypedRateLimitingQueueWithConfig(limiter,
			workqueue.TypedRateLimitingQueueConfig[string]{Name: name}),
		slots:   fairness.NewSlots(fairness.Share{Total: retryWorkers, Percent: retrySharePercent}),
		granted: make(chan string),
	}
	q.start = sync.OnceFunc(func() { go q.run(ctx) })
	return q
}

func (q *fairQueue) run(ctx context.Context) {
	var waiting sync.WaitGroup
	for {
		group, shutdown := q.retryQueue.Get()
		if shutdown {
			waiting.Wait()
			close(q.granted)
			return
		}
		waiting.Go(func() { q.grant(ctx, group) })
	}
}

// grant hands out a group when its namespace may have another worker. After ctx is done it drops the group.
func (q *fairQueue) grant(ctx context.Context, group string) {
	namespace, _, _ := strings.Cut(group, "/")
	release, err := q.slots.Acquire(ctx, fairness.Flow{Namespace: namespace}, 1)
	if err != nil {
		q.retryQueue.Done(group)
		return
	}
	q.releases.Store(group, release)
	q.granted <- group
}

// Get waits for the next group. The caller must call Done with it.
func (q *fairQueue) Get() (group string, shutdown bool) {
	q.start() // not earlier: until then, the queue drops repeated groups
	group, open := <-q.granted
	return group, !open
}

// Done marks a group as processed.
func (q *fairQueue) Done(group string) {
	if release, found := q.releases.LoadAndDelete(group); found {
		release.(func())()
	}
	q.retryQueue.Done(group)
}
