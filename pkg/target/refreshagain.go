// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern"
)

const (
	// firstRefreshDelay is the pause before Argo CD is asked again. Each pause is as long as the time since the
	// request, so that there are at most six within refreshWindow, after which it is not asked again.
	firstRefreshDelay, refreshWindow = time.Second, time.Minute
	// refreshWorkers bounds how many Applications are patched concurrently, and refreshTimeout each patch.
	refreshWorkers, refreshTimeout = 4, 5 * time.Second
)

// refresher asks Argo CD again to refresh Applications whose status does not show what was requested:
//
//   - Argo CD up to 3.5 loses a request that arrives while it works on an earlier one: when it is done it removes the
//     annotation, which is the same for both.
//   - A git server, or its cache, may serve a commit only some seconds after its webhook.
//
// It keeps little state: the annotations say what was requested and when. It is safe for concurrent use.
type refresher struct {
	client client
	cache  *Cache
	now    func() time.Time
	queue  workqueue.TypedDelayingInterface[postern.TargetKey]

	mu sync.Mutex
	// overlapping has the Applications that were asked to refresh while an earlier request was pending.
	overlapping map[postern.TargetKey]bool
	// asked is when Argo CD was last asked again. The annotation alone does not tell: newer releases remove it.
	asked map[postern.TargetKey]time.Time
}

// RefreshAgain asks Argo CD again, until ctx ends, to refresh Applications whose status does not show what was
// requested, and once more each ApplicationSet. Only one replica may run it. The Writer must have a cache.
func (w *Writer) RefreshAgain(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return w.refreshAgain(ctx) })
	group.Go(func() error { return w.regenerate(ctx) })
	return group.Wait()
}

func (w *Writer) refreshAgain(ctx context.Context) error {
	r := newRefresher(w.clients[postern.TargetApplication], w.cache)
	defer r.queue.ShutDown()
	informer := w.cache.kinds[postern.TargetApplication].informer
	registration, err := informer.AddEventHandler(r.handler())
	if err != nil {
		return fmt.Errorf("could not watch the Applications: %w", err)
	}
	defer func() { _ = informer.RemoveEventHandler(registration) }()
	var workers wait.Group
	for range refreshWorkers {
		workers.StartWithContext(ctx, r.work)
	}
	<-ctx.Done()
	r.queue.ShutDown()
	workers.Wait()
	return nil
}

func newRefresher(client client, cache *Cache) *refresher {
	return &refresher{
		client: client, cache: cache, now: time.Now,
		queue:       workqueue.NewTypedDelayingQueue[postern.TargetKey](),
		overlapping: map[postern.TargetKey]bool{}, asked: map[postern.TargetKey]time.Time{},
	}
}

func (r *refresher) handler() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(item any) {
			if app, ok := item.(*argov1alpha1.Application); ok {
				// An earlier request may have been pending, too.
				r.observe(app, isRefreshPending(app))
			}
		},
		UpdateFunc: func(before, item any) {
			old, _ := before.(*argov1alpha1.Application)
			app, ok := item.(*argov1alpha1.Application)
			if ok && old != nil {
				const key = argov1alpha1.AnnotationRefreshTimestamp
				r.observe(app, isRefreshPending(old) && isRefreshPending(app) &&
					old.Annotations[key] != app.Annotations[key])
			}
		},
		DeleteFunc: func(item any) {
			if deleted, ok := item.(cache.DeletedFinalStateUnknown); ok {
				item = deleted.Obj
			}
			if app, ok := item.(*argov1alpha1.Application); ok {
				r.forget(applicationKey(app))
			}
		},
	}
}

func applicationKey(app *argov1alpha1.Application) postern.TargetKey {
	return postern.TargetKey{Kind: postern.TargetApplication, Namespace: app.Namespace, Name: app.Name}
}

func isRefreshPending(app *argov1alpha1.Application) bool {
	_, pending := app.Annotations[argov1alpha1.AnnotationRefresh]
	return pending
}

func (r *refresher) setOverlapping(key postern.TargetKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.overlapping[key] = true
}

func (r *refresher) setAsked(key postern.TargetKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked[key] = r.now()
}

func (r *refresher) forget(key postern.TargetKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.overlapping, key)
	delete(r.asked, key)
}

func (r *refresher) known(key postern.TargetKey) (overlapping bool, asked time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.overlapping[key], r.asked[key]
}

// observe queues a changed Application if Argo CD has to be asked again. overlaps is set if it was asked while an
// earlier request was pending.
func (r *refresher) observe(app *argov1alpha1.Application, overlaps bool) {
	key := applicationKey(app)
	if overlaps {
		r.setOverlapping(key)
	}
	if due, wanted := r.due(app); wanted {
		r.queue.AddAfter(key, due.Sub(r.now()))
	} else if !isRefreshPending(app) {
		r.forget(key)
	}
}

// due returns when Argo CD has to be asked again to refresh an Application; wanted is false if it need not be.
func (r *refresher) due(app *argov1alpha1.Application) (due time.Time, wanted bool) {
	requested, err := time.Parse(time.RFC3339, app.Annotations[AnnotationRequestedAt])
	if _, held := HoldOf(app.Annotations); held {
		return time.Time{}, false
	}
	if age := r.now().Sub(requested); err != nil || isRefreshPending(app) || age.Abs() > refreshWindow {
		return time.Time{}, false
	}
	overlapping, asked := r.known(applicationKey(app))
	if requested.After(asked) {
		asked = requested
	}
	var reconciled time.Time
	// A release that knows this annotation has removed it.
	timestamp, err := time.Parse(time.RFC3339Nano, app.Annotations[argov1alpha1.AnnotationRefreshTimestamp])
	isIgnored := err == nil
	if isIgnored && timestamp.After(asked) {
		asked = timestamp
	}
	if at := app.Status.ReconciledAt; at != nil {
		reconciled = at.Time
	}
	isLost := isIgnored && overlapping && !reconciled.After(asked)
	if !isLost && !r.lacksCommit(app) {
		return time.Time{}, false
	}
	last := asked
	if reconciled.After(last) {
		last = reconciled
	}
	due = last.Add(max(firstRefreshDelay, last.Sub(requested)))
	return due, due.Sub(requested) <= refreshWindow
}

// lacksCommit reports whether the status of an Application does not show a commit that was requested a moment ago, in
// any slot, or that the last request, which may be a repeat of an older one, was for.
func (r *refresher) lacksCommit(app *argov1alpha1.Application) bool {
	compared, last := comparedRevisions(app), app.Annotations[AnnotationRequestedRevision]
	for _, m := range parseWatermarks(app.Annotations) {
		isRecent := m.Commit == last || r.now().Sub(m.Received) <= refreshWindow
		if m.Commit != "" && isRecent && !slices.Contains(compared, m.Commit) {
			return true
		}
	}
	return false
}

// comparedRevisions returns the commits that Argo CD has last seen in the sources.
func comparedRevisions(app *argov1alpha1.Application) []string {
	if app.Spec.SourceHydrator != nil {
		hydrator := app.Status.SourceHydrator
		return []string{hydrator.LastComparedDryRevision, hydrator.CurrentOperation.DrySHA}
	}
	return append(slices.Clone(app.Status.Sync.Revisions), app.Status.Sync.Revision)
}

func (r *refresher) work(ctx context.Context) {
	for {
		key, shutdown := r.queue.Get()
		if shutdown {
			return
		}
		r.process(ctx, key)
		r.queue.Done(key)
	}
}

// process asks Argo CD again to refresh an Application, if it still has to be.
func (r *refresher) process(ctx context.Context, key postern.TargetKey) {
	obj, ok := r.cache.get(key)
	app, isApp := obj.(*argov1alpha1.Application)
	if !ok || !isApp {
		return
	}
	due, wanted := r.due(app)
	if wait := due.Sub(r.now()); !wanted || wait > 0 {
		if wanted {
			r.queue.AddAfter(key, wait)
		}
		return
	}
	r.setAsked(key)
	err := r.ask(ctx, app)
	switch {
	case err == nil:
		klog.FromContext(ctx).V(2).Info("Asked Argo CD again to refresh an Application",
			"application", klog.KObj(app), "revision", app.Annotations[AnnotationRequestedRevision])
	case isTestFailure(err): // the informer delivers the change
		klog.FromContext(ctx).V(2).Info("Did not ask Argo CD again, because the Application has changed",
			"application", klog.KObj(app))
	default:
		klog.FromContext(ctx).V(2).Info("Could not ask Argo CD again to refresh an Application",
			"application", klog.KObj(app), "err", err)
		r.queue.AddAfter(key, firstRefreshDelay)
	}
}

// ask asks Argo CD to refresh an Application, unless its annotations have changed.
func (r *refresher) ask(ctx context.Context, app *argov1alpha1.Application) error {
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	b := newPatchBuilder(app.Annotations, Request{At: r.now()}, &planState{})
	b.readAnnotations(AnnotationRequestedRef, AnnotationRequestedAt, AnnotationRequestedRevision,
		postern.AnnotationHold)
	b.refresh(app)
	patch, err := json.Marshal(slices.Concat(b.tests, b.edits))
	if err != nil {
		return fmt.Errorf("could not encode the patch: %w", err)
	}
	written, err := r.client.patch(ctx, applicationKey(app), patch, false)
	if err == nil {
		r.cache.update(postern.TargetApplication, written)
	}
	return err
}
