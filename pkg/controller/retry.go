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
	// retryWorkers bounds how many targets, and maxConcurrentRetries how many deliveries of each, are tried
	// concurrently. A target that hangs occupies a worker for as long as a retry may take. retrySharePercent therefore
	// bounds the workers of one namespace, so that the others do not wait for it.
	retryWorkers         = 16
	retrySharePercent    = 50
	maxConcurrentRetries = 8

	firstBackoff, maxBackoff = 500 * time.Millisecond, 12 * time.Second

	groupIndex = "group"
)

// Resumer retries a pending delivery, with giveUp for the last time.
type Resumer interface {
	Resume(ctx context.Context, delivery *postern.WebhookDelivery, giveUp bool) error
}

// RetryController retries pending deliveries: those whose targets could not be written in time, and those whose process
// has terminated. Only one replica may run it.
type RetryController struct {
	pending cache.SharedIndexInformer
	queue   workqueue.TypedRateLimitingInterface[string]
	workers *fairness.Slots
	resumer Resumer
	window  time.Duration
	now     func() time.Time
}

// NewRetryController returns a RetryController for the deliveries that pending lists and watches. A delivery that is
// still pending at the end of the window after its receipt is retried a last time.
func NewRetryController(
	pending cache.ListerWatcher, resumer Resumer, window time.Duration, now func() time.Time,
) (*RetryController, error) {
	r := &RetryController{
		pending: cache.NewSharedIndexInformer(pending, &postern.WebhookDelivery{}, 0,
			cache.Indexers{groupIndex: indexByGroup}),
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(
			jitteredRateLimiter{workqueue.NewTypedItemExponentialFailureRateLimiter[string](firstBackoff, maxBackoff)},
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
		return nil, fmt.Errorf("could not watch the pending deliveries: %w", err)
	}
	return r, nil
}

// Start runs until ctx is done. It may be called once.
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

// indexByGroup groups deliveries to one named target, of which only the newest has to be written.
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

// enqueue adds the group of a delivery after its grace period.
func (r *RetryController) enqueue(obj any) {
	if groups, err := indexByGroup(obj); err == nil {
		r.queue.AddAfter(groups[0], r.remainingGrace(obj.(*postern.WebhookDelivery)))
	}
}

// remainingGrace returns how long the first attempt at a delivery may still be in progress; zero or less if it is over.
func (r *RetryController) remainingGrace(d *postern.WebhookDelivery) time.Duration {
	if delivery.Attempted(d) {
		return 0
	}
	return delivery.GracePeriod - r.now().Sub(recordedAt(d))
}

// recordedAt returns about when a delivery was recorded: its creation time, refined by its receipt if that is later.
// The receipt alone may be much earlier, since admission may call webhooks.
func recordedAt(d *postern.WebhookDelivery) time.Time {
	created := d.CreationTimestamp.Time
	latest := created.Add(time.Second) // creation times are in seconds, and receipts may be ahead of the clock
	switch received := receivedAt(d); {
	case received.After(latest) && !created.IsZero():
		return latest
	case received.After(created):
		return received
	}
	return created
}

// age returns the time since a delivery was recorded. A repeat of an unrecorded delivery keeps its first receipt.
func (r *RetryController) age(d *postern.WebhookDelivery) time.Duration {
	return r.now().Sub(recordedAt(d))
}

func receivedAt(d *postern.WebhookDelivery) time.Time {
	if d.Status.ReceivedTime != nil {
		return d.Status.ReceivedTime.Time
	}
	return d.CreationTimestamp.Time
}

// runWorkers starts a goroutine per group, bounded by the pending deliveries, which waits for a slot of its namespace.
func (r *RetryController) runWorkers(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		group, stop := r.queue.Get()
		if stop || ctx.Err() != nil { // the queue returns its remaining items after shutdown
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

// retry resumes the deliveries of a group, the newest first, so that older ones are found outdated. requeueAfter is the
// shortest remaining grace period, or zero.
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
		// The target can't be written, but each of the others still has to be given up in time.
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

// windowExpired reports whether the next retry of a delivery is the last.
func (r *RetryController) windowExpired(d *postern.WebhookDelivery) bool { return r.age(d) > r.window }

func (r *RetryController) resume(ctx context.Context, d *postern.WebhookDelivery) error {
	err := r.resumer.Resume(ctx, d, r.windowExpired(d))
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // deleted or changed concurrently: the informer reports it
	}
	if err != nil && !errors.Is(err, delivery.ErrStillPending) {
		return fmt.Errorf("could not resume %s: %w", klog.KObj(d), err)
	}
	return err
}

// maxJitter is the maximum factor that jitter adds to a backoff, to spread deliveries that failed together.
const maxJitter = 0.2

// jitteredRateLimiter adds jitter to a rate limiter.
type jitteredRateLimiter struct {
	workqueue.TypedRateLimiter[string]
}

// When returns the backoff of an item.
func (j jitteredRateLimiter) When(item string) time.Duration {
	return wait.Jitter(j.TypedRateLimiter.When(item), maxJitter)
}
