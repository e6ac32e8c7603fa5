// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/delivery"
)

const (
	// retryWorkers bounds how many targets, and maxConcurrentRetries how many deliveries of each, are tried
	// concurrently. A target that hangs occupies a worker for as long as a retry may take; see fairQueue.
	retryWorkers         = 16
	maxConcurrentRetries = 8

	firstBackoff, maxBackoff = 500 * time.Millisecond, 12 * time.Second

	groupIndex = "group"
)

// Resumer retries a pending delivery, with giveUp for the last time.
type Resumer interface {
	Resume(ctx context.Context, delivery *postern.WebhookDelivery, giveUp bool) error
}

// RetryController retries pending deliveries: those whose targets could not be written in time, and those whose process
// has terminated. Only one replica may run it. It reconciles groups of deliveries, see indexByGroup.
type RetryController struct {
	pending cache.SharedIndexInformer
	backoff workqueue.TypedRateLimiter[string]
	resumer Resumer
	window  time.Duration
}

// NewRetryController returns a RetryController for the deliveries that pending lists and watches. A delivery that is
// still pending at the end of the window after its receipt is retried a last time.
func NewRetryController(pending cache.ListerWatcher, resumer Resumer, window time.Duration) *RetryController {
	return &RetryController{
		pending: cache.NewSharedIndexInformer(pending, &postern.WebhookDelivery{}, 0,
			cache.Indexers{groupIndex: indexByGroup}),
		backoff: newBackoff(),
		resumer: resumer,
		window:  window,
	}
}

// Start runs until ctx is done. It may be called once.
func (r *RetryController) Start(ctx context.Context) error {
	defer observeRetry(r)()
	c, err := controller.NewTypedUnmanaged("retry", controller.TypedOptions[string]{
		Reconciler:              r,
		MaxConcurrentReconciles: retryWorkers,
		RateLimiter:             newBackoff(), // after panics, the only errors that Reconcile returns
		NewQueue: func(name string, limiter workqueue.TypedRateLimiter[string]) retryQueue {
			return newFairQueue(ctx, name, limiter)
		},
		Logger:             klog.FromContext(ctx),
		SkipNameValidation: new(true), // a replica that leads again has a new controller of this name
	})
	if err != nil {
		return fmt.Errorf("could not create the retry controller: %w", err)
	}
	err = c.Watch(source.TypedFunc[string](func(ctx context.Context, queue retryQueue) error {
		enqueue := func(obj any) {
			d := obj.(*postern.WebhookDelivery)
			queue.AddAfter(groupOf(d), pauseBefore(d))
		}
		registration, err := r.pending.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: enqueue, UpdateFunc: func(_, obj any) { enqueue(obj) },
		})
		if err != nil {
			return err
		}
		cache.WaitForCacheSync(ctx.Done(), registration.HasSynced) // queues each group once
		return nil
	}))
	if err != nil {
		return fmt.Errorf("could not watch the pending deliveries: %w", err)
	}
	// The informer stops after the controller, which fails to start with one that has stopped.
	informerCtx, stopInformer := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stopInformer()
	wg.Go(func() { r.pending.RunWithContext(informerCtx) })
	if !cache.WaitForCacheSync(ctx.Done(), r.pending.HasSynced) {
		return nil
	}
	return c.Start(ctx)
}

// indexByGroup groups deliveries to one named target, of which only the newest has to be written.
func indexByGroup(obj any) ([]string, error) {
	d, ok := obj.(*postern.WebhookDelivery)
	if !ok {
		return nil, fmt.Errorf("got a %T where a WebhookDelivery was expected", obj)
	}
	return []string{groupOf(d)}, nil
}

// groupOf returns the group of a delivery, which begins with its namespace.
func groupOf(d *postern.WebhookDelivery) string {
	if t := d.Spec.Target; t != nil {
		return fmt.Sprintf("%s/%s/%s", d.Namespace, t.Kind, t.Name)
	}
	return d.Namespace + "//" + d.Name
}

// remainingGrace returns how long the first attempt at a delivery may still be in progress; zero or less if it is over.
func remainingGrace(d *postern.WebhookDelivery) time.Duration {
	if delivery.Attempted(d) {
		return 0
	}
	return delivery.GracePeriod - age(d)
}

// pauseBefore returns how long after a change of its record a delivery is retried. One whose Applications wait for
// their turn has just been tried.
func pauseBefore(d *postern.WebhookDelivery) time.Duration {
	if delivery.Waits(d) {
		return delivery.PaceInterval
	}
	return remainingGrace(d)
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
func age(d *postern.WebhookDelivery) time.Duration { return time.Since(recordedAt(d)) }

func receivedAt(d *postern.WebhookDelivery) time.Time {
	if d.Status.ReceivedTime != nil {
		return d.Status.ReceivedTime.Time
	}
	return d.CreationTimestamp.Time
}

// Reconcile retries the deliveries of a group, and again after a backoff while any is pending, or after a fixed pause
// if Applications wait for their turn. That is no error, which the controller would log as such.
func (r *RetryController) Reconcile(ctx context.Context, group string) (reconcile.Result, error) {
	requeueAfter, err := r.retry(ctx, group)
	if errors.Is(err, delivery.ErrPaced) {
		r.backoff.Forget(group)
		return reconcile.Result{RequeueAfter: delivery.PaceInterval}, nil
	}
	if err != nil {
		klog.FromContext(ctx).V(2).Info("Deliveries are still pending", "group", group, "err", err)
		return reconcile.Result{RequeueAfter: r.backoff.When(group)}, nil
	}
	r.backoff.Forget(group)
	return reconcile.Result{RequeueAfter: requeueAfter}, nil
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
		if remaining := remainingGrace(d); remaining > 0 {
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

// windowExpired reports whether the next retry of a delivery is the last. The time during which it was held does not
// count.
func (r *RetryController) windowExpired(d *postern.WebhookDelivery) bool {
	since := recordedAt(d)
	if released := delivery.HeldSince(d); released.After(since) {
		since = released
	}
	return time.Since(since) > r.window
}

// resume retries a delivery. A panic is an error, so that it neither ends the process nor holds up other deliveries.
func (r *RetryController) resume(ctx context.Context, d *postern.WebhookDelivery) (err error) {
	defer func() {
		if problem := recover(); problem != nil {
			klog.FromContext(ctx).Error(nil, "Panic in the retry of a delivery", "delivery", klog.KObj(d),
				"panic", problem, "stack", string(debug.Stack()))
			err = fmt.Errorf("could not resume %s: a mistake in Postern, see its log", klog.KObj(d))
		}
	}()
	err = r.resumer.Resume(ctx, d, r.windowExpired(d))
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

func newBackoff() workqueue.TypedRateLimiter[string] {
	return jitteredRateLimiter{workqueue.NewTypedItemExponentialFailureRateLimiter[string](firstBackoff, maxBackoff)}
}

// When returns the backoff of an item.
func (j jitteredRateLimiter) When(item string) time.Duration {
	return wait.Jitter(j.TypedRateLimiter.When(item), maxJitter)
}
