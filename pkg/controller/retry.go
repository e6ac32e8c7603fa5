// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/delivery"
	"postern.dev/postern/pkg/fairness"
)

const (
	// retryWorkers bounds how many targets, and maxConcurrentRetries how many deliveries of each, are tried at once. Targets that
	// hang keep one each for as long as a try may take. So retrySharePercent bounds how many are of one namespace: those
	// of others must not wait for them.
	retryWorkers         = 16
	retrySharePercent    = 50
	maxConcurrentRetries = 8

	firstBackoff, maxBackoff = 500 * time.Millisecond, 12 * time.Second

	groupIndex = "group"
)

// Resumer tries a pending delivery once more; with giveUp for the last time.
type Resumer interface {
	Resume(ctx context.Context, delivery *postern.WebhookDelivery, giveUp bool) error
}

// RetryController takes up deliveries that stay pending: their targets could not be written in time, or the process that had
// promised it is gone. Only one may run, whatever the number of replicas.
type RetryController struct {
	pending cache.SharedIndexInformer
	queue   workqueue.TypedRateLimitingInterface[string]
	workers *fairness.Slots
	resumer Resumer
	window  time.Duration
	now     func() time.Time
}

// NewRetryController returns a controller of the deliveries that pending lists and watches. A delivery that is still pending when
// the window after its receipt has gone by is tried one last time.
func NewRetryController(pending cache.ListerWatcher, resumer Resumer, window time.Duration, now func() time.Time) (*RetryController, error) {
	r := &RetryController{
		pending: cache.NewSharedIndexInformer(pending, &postern.WebhookDelivery{}, 0, cache.Indexers{groupIndex: indexByGroup}),
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(jitteredRateLimiter{workqueue.NewTypedItemExponentialFailureRateLimiter[string](firstBackoff, maxBackoff)},
			workqueue.TypedRateLimitingQueueConfig[string]{Name: "retry"}),
		workers: fairness.NewSlots(fairness.Share{Total: retryWorkers, Percent: retrySharePercent}),
		resumer: resumer,
		window:  window,
		now:     now,
	}
	_, err := r.pending.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    r.enqueue,
		UpdateFunc: func(_, obj any) { r.enqueue(obj) },
	})
	if err != nil {
		return nil, fmt.Errorf("could not follow the pending deliveries: %w", err)
	}
	return r, nil
}

// Start works until ctx is done. It may be called once.
func (r *RetryController) Start(ctx context.Context) error {
	defer observeRetry(r)()
	var group errgroup.Group
	group.Go(func() error { r.pending.RunWithContext(ctx); return nil })
	if cache.WaitForCacheSync(ctx.Done(), r.pending.HasSynced) {
		group.Go(func() error { r.runWorkers(ctx); return nil })
	}
	<-ctx.Done()
	r.queue.ShutDown()
	return group.Wait()
}

// indexByGroup puts deliveries to one named target together: only the newest of them need be written.
func indexByGroup(obj any) ([]string, error) {
	d, ok := obj.(*postern.WebhookDelivery)
	if !ok {
		return nil, fmt.Errorf("got a %T where a WebhookDelivery was expected", obj)
	}
	if t := d.Spec.Target; t != nil {
		return []string{fmt.Sprintf("%s/%s/%s", d.Namespace, t.Kind, t.Name)}, nil
	}
	return []string{d.Namespace + "//" + d.Name}, nil
}

// enqueue lets whoever answers a delivery finish with it first.
func (r *RetryController) enqueue(obj any) {
	if groups, err := indexByGroup(obj); err == nil {
		r.queue.AddAfter(groups[0], r.remainingGrace(obj.(*postern.WebhookDelivery)))
	}
}

// remainingGrace is how long a delivery is to be left alone; zero or less if it is time.
func (r *RetryController) remainingGrace(d *postern.WebhookDelivery) time.Duration {
	if delivery.Attempted(d) {
		return 0
	}
	return delivery.GracePeriod - r.now().Sub(recordedAt(d))
}

// recordedAt is when whoever answers a delivery began to carry it out. Admission, which may ask others, took its time since
// the receipt; but that is more exact than the time of creation.
func recordedAt(d *postern.WebhookDelivery) time.Time {
	created := d.CreationTimestamp.Time
	latest := created.Add(time.Second) // for that is in whole seconds, and receipts may be stamped ahead of the clock
	switch received := receivedAt(d); {
	case received.After(latest) && !created.IsZero():
		return latest
	case received.After(created):
		return received
	}
	return created
}

// age is how long a delivery is tried. One that is repeated after it could not be recorded keeps its first receipt.
func (r *RetryController) age(d *postern.WebhookDelivery) time.Duration {
	return r.now().Sub(recordedAt(d))
}

func receivedAt(d *postern.WebhookDelivery) time.Time {
	if d.Status.ReceivedTime != nil {
		return d.Status.ReceivedTime.Time
	}
	return d.CreationTimestamp.Time
}

// runWorkers lets each group wait for its turn among those of its namespace. How many wait is bounded by what may be pending.
func (r *RetryController) runWorkers(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		group, stop := r.queue.Get()
		if stop || ctx.Err() != nil { // a queue that is shut down hands out what it still has
			return
		}
		wg.Go(func() {
			defer r.queue.Done(group)
			namespace, _, _ := strings.Cut(group, "/")
			release, err := r.workers.Acquire(ctx, fairness.Flow{Namespace: namespace}, 1)
			if err != nil {
				return
			}
			defer release()
			r.processGroup(ctx, group)
		})
	}
}

func (r *RetryController) processGroup(ctx context.Context, group string) {
	requeueAfter, err := r.retry(ctx, group)
	if err != nil {
		klog.FromContext(ctx).V(2).Info("Deliveries are still pending", "group", group, "err", err)
		r.queue.AddRateLimited(group)
		return
	}
	r.queue.Forget(group)
	if requeueAfter > 0 {
		r.queue.AddAfter(group, requeueAfter)
	}
}

// retry tries the deliveries of a group. The newest comes first: those before it then find that they are outdated. If
// some are to be left alone yet, again is for how long the first of them.
func (r *RetryController) retry(ctx context.Context, group string) (requeueAfter time.Duration, err error) {
	objects, err := r.pending.GetIndexer().ByIndex(groupIndex, group)
	if err != nil {
		return 0, err
	}
	var due []*postern.WebhookDelivery
	for _, obj := range objects {
		d := obj.(*postern.WebhookDelivery)
		if remaining := r.remainingGrace(d); remaining > 0 {
			if requeueAfter == 0 || remaining < requeueAfter {
				requeueAfter = remaining
			}
			continue
		}
		due = append(due, d.DeepCopy())
	}
	slices.SortFunc(due, func(a, b *postern.WebhookDelivery) int {
		return cmp.Or(receivedAt(b).Compare(receivedAt(a)), cmp.Compare(a.Name, b.Name))
	})
	if len(due) == 0 {
		return requeueAfter, nil
	}
	newest, others := due[0], due[1:]
	err = r.resume(ctx, newest)
	if err != nil {
		// The target can't be written, but each of the others is given up in its time.
		others = slices.DeleteFunc(others, func(d *postern.WebhookDelivery) bool { return !r.windowExpired(d) })
	}
	return requeueAfter, cmp.Or(err, r.resumeAll(ctx, others))
}

func (r *RetryController) resumeAll(ctx context.Context, deliveries []*postern.WebhookDelivery) error {
	var group errgroup.Group
	group.SetLimit(maxConcurrentRetries)
	for _, d := range deliveries {
		group.Go(func() error { return r.resume(ctx, d) })
	}
	return group.Wait()
}

// windowExpired reports whether a delivery is tried for the last time.
func (r *RetryController) windowExpired(d *postern.WebhookDelivery) bool { return r.age(d) > r.window }

func (r *RetryController) resume(ctx context.Context, d *postern.WebhookDelivery) error {
	err := r.resumer.Resume(ctx, d, r.windowExpired(d))
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // deleted, or changed by another: the informer tells
	}
	if err != nil && !errors.Is(err, delivery.ErrStillPending) {
		return fmt.Errorf("could not carry out %s: %w", klog.KObj(d), err)
	}
	return err
}

// maxJitter is by how much, at most, a pause is lengthened, so that what failed together is not tried together.
const maxJitter = 0.2

// jitteredRateLimiter lengthens the pauses of a rate limiter by chance.
type jitteredRateLimiter struct {
	workqueue.TypedRateLimiter[string]
}

// When returns how long to wait before trying an item again.
func (j jitteredRateLimiter) When(item string) time.Duration {
	return wait.Jitter(j.TypedRateLimiter.When(item), maxJitter)
}
