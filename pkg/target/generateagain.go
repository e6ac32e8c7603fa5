// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern"
)

// regenerator asks Argo CD once more to refresh each ApplicationSet with a git generator, after it has served a request
// of Postern, since nothing in an ApplicationSet shows which commit its generators saw:
//
//   - Its controller reads an ApplicationSet anew when it stores the status, and then removes a request that came after
//     it had looked at git. The change makes it reconcile, but with the commit in its cache.
//   - A git server, or its cache, may serve a commit only some seconds after its webhook.
//
// The second request has the value that Argo CD writes. So it differs from those of decide, and is not repeated. The
// regenerator keeps no state. It is safe for concurrent use.
type regenerator struct {
	client client
	cache  *Cache
	queue  workqueue.TypedDelayingInterface[postern.TargetKey]
}

// lastRefresh is the value of the second request.
const lastRefresh = "true"

// regenerate asks Argo CD again until ctx ends.
func (w *Writer) regenerate(ctx context.Context) error {
	r := regenerator{
		client: w.clients[postern.TargetApplicationSet], cache: w.cache,
		queue: workqueue.NewTypedDelayingQueue[postern.TargetKey](),
	}
	defer r.queue.ShutDown()
	informer := w.cache.kinds[postern.TargetApplicationSet].informer
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(before, after any) {
			old, _ := before.(*argov1alpha1.ApplicationSet)
			set, _ := after.(*argov1alpha1.ApplicationSet)
			if old != nil && set != nil && isServed(old, set) {
				r.queue.AddAfter(applicationSetKey(set), firstRefreshDelay)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("could not watch the ApplicationSets: %w", err)
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

func applicationSetKey(set *argov1alpha1.ApplicationSet) postern.TargetKey {
	return postern.TargetKey{Kind: postern.TargetApplicationSet, Namespace: set.Namespace, Name: set.Name}
}

// isServed reports whether a change removes a request of Postern from an ApplicationSet that looks at git.
func isServed(before, after *argov1alpha1.ApplicationSet) bool {
	const key = argov1alpha1.AnnotationApplicationSetRefresh
	_, isOurs := refreshTime(before.Annotations[key])
	_, pending := after.Annotations[key]
	looksAtGit := func(g generator) bool { return !g.ofPullRequests && !g.isAny() }
	return isOurs && !pending && slices.ContainsFunc(generatorsOf(&after.Spec), looksAtGit)
}

func (r *regenerator) work(ctx context.Context) {
	for {
		key, shutdown := r.queue.Get()
		if shutdown {
			return
		}
		r.process(ctx, key)
		r.queue.Done(key)
	}
}

// process asks for a second refresh, unless the ApplicationSet is held, or another one was requested meanwhile.
func (r *regenerator) process(ctx context.Context, key postern.TargetKey) {
	obj, ok := r.cache.get(key)
	if !ok {
		return
	}
	if _, pending := obj.GetAnnotations()[argov1alpha1.AnnotationApplicationSetRefresh]; pending {
		return
	}
	if _, held := HoldOf(obj.GetAnnotations()); held {
		return
	}
	err := r.ask(ctx, key, obj)
	klog.FromContext(ctx).V(2).Info("Asked Argo CD again to refresh an ApplicationSet",
		"applicationSet", klog.KObj(obj), "err", err)
	if err != nil && !isTestFailure(err) && isRetryable(err) { // otherwise it is requested, or can't be
		r.queue.AddAfter(key, firstRefreshDelay)
	}
}

func (r *regenerator) ask(ctx context.Context, key postern.TargetKey, obj object) error {
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	b := newPatchBuilder(obj.GetAnnotations(), Request{}, &planState{})
	b.testAnnotation(postern.AnnotationHold)
	b.annotate(argov1alpha1.AnnotationApplicationSetRefresh, lastRefresh)
	patch, err := json.Marshal(slices.Concat(b.tests, b.edits))
	if err != nil {
		return fmt.Errorf("could not encode the patch: %w", err)
	}
	written, err := r.client.patch(ctx, key, patch, false)
	if err == nil {
		r.cache.update(postern.TargetApplicationSet, written)
	}
	return err
}
