// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/delivery"
)

// Settler settles the deliveries that are held at a target.
type Settler interface {
	Settle(
		ctx context.Context, key postern.TargetKey, heldAt func(postern.TargetKey) []*postern.WebhookDelivery,
	) error
}

// HoldWatcher watches the holds of targets.
type HoldWatcher interface {
	// WatchHolds calls changed with each target that exists at first, is not held any more, or is deleted, until ctx
	// ends. changed must not block.
	WatchHolds(ctx context.Context, changed func(postern.TargetKey)) error
}

// HoldController settles held deliveries: of those that replace each other it keeps the newest, and delivers it once it
// is released. Only one replica may run it. It reconciles targets.
type HoldController struct {
	held    cache.SharedIndexInformer
	targets HoldWatcher
	settler Settler
	backoff workqueue.TypedRateLimiter[string]
	turns   turns
}

// NewHoldController returns a HoldController for the deliveries that held lists and watches.
func NewHoldController(held cache.ListerWatcher, targets HoldWatcher, settler Settler) *HoldController {
	return &HoldController{
		held: cache.NewSharedIndexInformer(held, &postern.WebhookDelivery{}, 0,
			cache.Indexers{groupIndex: indexByTarget}),
		targets: targets, settler: settler, backoff: newBackoff(),
	}
}

// Start runs until ctx is done. It may be called once.
func (c *HoldController) Start(ctx context.Context) error {
	defer observeHolds(c)()
	runner, err := controller.NewTypedUnmanaged("hold", controller.TypedOptions[string]{
		Reconciler:              c,
		MaxConcurrentReconciles: retryWorkers,
		RateLimiter:             newBackoff(), // after panics, the only errors that Reconcile returns
		NewQueue: func(name string, limiter workqueue.TypedRateLimiter[string]) retryQueue {
			return newFairQueue(ctx, name, limiter)
		},
		Logger:             klog.FromContext(ctx),
		SkipNameValidation: new(true), // a replica that leads again has a new controller of this name
	})
	if err != nil {
		return fmt.Errorf("could not create the hold controller: %w", err)
	}
	// Both informers stop after the controller, which fails to start with one that has stopped.
	informerCtx, stopInformers := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stopInformers()
	err = runner.Watch(source.TypedFunc[string](func(ctx context.Context, queue retryQueue) error {
		c.turns.queue(queue)
		registration, err := c.held.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(obj any) { enqueueGroups(queue, nil, obj) },
			UpdateFunc: func(old, obj any) { enqueueGroups(queue, old, obj) },
		})
		if err != nil {
			return err
		}
		cache.WaitForCacheSync(ctx.Done(), registration.HasSynced) // queues each target once
		return c.targets.WatchHolds(informerCtx, func(key postern.TargetKey) {
			for _, group := range []string{groupOfTarget(key), groupOfUnlisted(key.Namespace)} {
				if found, err := c.held.GetIndexer().IndexKeys(groupIndex, group); err == nil && len(found) > 0 {
					queue.Add(group)
				}
			}
		})
	}))
	if err != nil {
		return fmt.Errorf("could not watch the held deliveries: %w", err)
	}
	wg.Go(func() { c.held.RunWithContext(informerCtx) })
	if !cache.WaitForCacheSync(ctx.Done(), c.held.HasSynced) {
		return nil
	}
	return runner.Start(ctx)
}

// enqueueGroups queues the groups of a delivery that may have to be settled: all if it is new, or if a client has
// released or deleted it, and otherwise those that are new. That it is not held any more at some targets changes
// nothing for the others.
func enqueueGroups(queue retryQueue, old, obj any) {
	groups, _ := indexByTarget(obj)
	was, isUpdate := old.(*postern.WebhookDelivery)
	is, ok := obj.(*postern.WebhookDelivery)
	if isUpdate && ok && maps.Equal(was.Annotations, is.Annotations) &&
		was.DeletionTimestamp.Equal(is.DeletionTimestamp) {
		known, _ := indexByTarget(old)
		groups = slices.DeleteFunc(groups, func(group string) bool {
			return slices.Contains(known, group) && group != groupOfUnlisted(is.Namespace)
		})
	}
	for _, group := range groups {
		queue.Add(group)
	}
}

// indexByTarget groups held deliveries by the targets that they wait for.
func indexByTarget(obj any) ([]string, error) {
	d, ok := obj.(*postern.WebhookDelivery)
	if !ok {
		return nil, fmt.Errorf("got a %T where a WebhookDelivery was expected", obj)
	}
	keys, all := delivery.HeldTargets(d)
	if !all {
		return []string{groupOfUnlisted(d.Namespace)}, nil
	}
	groups := make([]string, len(keys))
	for i, key := range keys {
		groups[i] = groupOfTarget(key)
	}
	return groups, nil
}

// groupOfTarget returns the group of the deliveries that are held at a target. It begins with the namespace.
func groupOfTarget(key postern.TargetKey) string {
	return fmt.Sprintf("%s/%s/%s", key.Namespace, key.Kind, key.Name)
}

// groupOfUnlisted returns the group of the deliveries of a namespace whose records do not list all targets.
func groupOfUnlisted(namespace string) string {
	return groupOfTarget(postern.TargetKey{Namespace: namespace})
}

// turns lets the groups of one namespace be settled one after the other: they share deliveries, so that at the same
// time each would do the work of the others, and fail to store it. It is safe for concurrent use.
type turns struct {
	mu    sync.Mutex
	again retryQueue
	// waiting are the groups that wait for the turn of another one, by namespace.
	waiting map[string]sets.Set[string]
}

// queue sets the queue to which groups return that had to wait.
func (t *turns) queue(again retryQueue) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.again, t.waiting = again, map[string]sets.Set[string]{}
}

// begin reports whether it is the turn of a group, until end is called. Otherwise the group is queued again then.
func (t *turns) begin(group string) (end func(), ok bool) {
	namespace, _, _ := strings.Cut(group, "/")
	t.mu.Lock()
	defer t.mu.Unlock()
	if waiting, busy := t.waiting[namespace]; busy {
		waiting.Insert(group)
		return nil, false
	}
	waiting := sets.New[string]()
	t.waiting[namespace] = waiting
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.waiting, namespace)
		for group := range waiting {
			t.again.Add(group)
		}
	}, true
}

// Reconcile settles the deliveries of a group, and again after a backoff if that fails.
func (c *HoldController) Reconcile(ctx context.Context, group string) (reconcile.Result, error) {
	end, ok := c.turns.begin(group)
	if !ok {
		return reconcile.Result{}, nil
	}
	defer end()
	if err := c.settle(ctx, group); err != nil {
		klog.FromContext(ctx).V(2).Info("Held deliveries could not be settled", "group", group, "err", err)
		return reconcile.Result{RequeueAfter: c.backoff.When(group)}, nil
	}
	c.backoff.Forget(group)
	return reconcile.Result{}, nil
}

func (c *HoldController) settle(ctx context.Context, group string) (err error) {
	names, err := c.held.GetIndexer().IndexKeys(groupIndex, group)
	if err != nil || len(names) == 0 {
		return err
	}
	defer func() {
		if problem := recover(); problem != nil {
			klog.FromContext(ctx).Error(nil, "Panic while held deliveries were settled", "group", group,
				"panic", problem, "stack", string(debug.Stack()))
			err = errors.New("a mistake in Postern, see its log")
		}
	}()
	parts := strings.SplitN(group, "/", 3)
	key := postern.TargetKey{Namespace: parts[0], Kind: postern.TargetKind(parts[1]), Name: parts[2]}
	return c.settler.Settle(ctx, key, c.heldAt())
}

// heldAt returns a function that returns copies of the deliveries that are held at a target, always the same ones.
func (c *HoldController) heldAt() func(postern.TargetKey) []*postern.WebhookDelivery {
	copies := map[types.UID]*postern.WebhookDelivery{}
	return func(key postern.TargetKey) (deliveries []*postern.WebhookDelivery) {
		objects, _ := c.held.GetIndexer().ByIndex(groupIndex, groupOfTarget(key)) // the index exists
		for _, obj := range objects {
			d := obj.(*postern.WebhookDelivery)
			if copies[d.UID] == nil {
				copies[d.UID] = d.DeepCopy()
			}
			deliveries = append(deliveries, copies[d.UID])
		}
		return deliveries
	}
}
