// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"postern.dev/postern/apis/postern"
)

// settleDelay is how long it may take after an outage until the missed changes are in the cache. Without an outage a
// watch continues where the last one ended.
const settleDelay = 2 * time.Second

// errReconnecting is the error of a cache between the end of a watch and the start of the next.
var errReconnecting = errors.New("the watch has ended, and the next is not open yet")

// trackedListWatch wraps a ListerWatcher, and knows whether changes are received. It is safe for concurrent use.
type trackedListWatch struct {
	cache.ListerWatcherWithContext
	now func() time.Time

	mu sync.Mutex
	// staleErr is why changes are missed; nil while a watch is open.
	staleErr error
	// started is set after the first list or watch, outage from a later failure until the next success.
	started, outage bool
	// settledAt is when the missed changes are in the cache.
	settledAt time.Time
}

func newTrackedListWatch(lw cache.ListerWatcher, now func() time.Time) *trackedListWatch {
	return &trackedListWatch{ListerWatcherWithContext: cache.ToListerWatcherWithContext(lw), now: now}
}

// current returns an error while changes are missed. A kind that is not installed is no error.
func (f *trackedListWatch) current() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.staleErr != nil && isKindMissing(f.staleErr):
		return nil
	case f.staleErr != nil:
		return f.staleErr
	case f.now().Before(f.settledAt):
		return errReconnecting
	}
	return nil
}

// failed records a failed list or watch.
func (f *trackedListWatch) failed(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.staleErr, f.outage = err, f.started
}

// succeeded records a successful list, or an opened watch.
func (f *trackedListWatch) succeeded() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.outage {
		f.settledAt = f.now().Add(settleDelay)
	}
	f.staleErr, f.started, f.outage = nil, true, false
}

// List implements cache.Lister.
func (f *trackedListWatch) List(options metav1.ListOptions) (runtime.Object, error) {
	return f.ListWithContext(context.Background(), options)
}

// ListWithContext implements cache.ListerWithContext.
func (f *trackedListWatch) ListWithContext(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	list, err := f.ListerWatcherWithContext.ListWithContext(ctx, options)
	if err != nil {
		f.failed(err)
		return nil, err
	}
	f.succeeded()
	return list, nil
}

// Watch implements cache.Watcher.
func (f *trackedListWatch) Watch(options metav1.ListOptions) (watch.Interface, error) {
	return f.WatchWithContext(context.Background(), options)
}

// WatchWithContext implements cache.WatcherWithContext.
func (f *trackedListWatch) WatchWithContext(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	watcher, err := f.ListerWatcherWithContext.WatchWithContext(ctx, options)
	if err != nil {
		f.failed(err)
		return nil, err
	}
	f.succeeded()
	return &trackedWatch{Interface: watcher, listWatch: f}, nil
}

// trackedWatch is an open watch. A reflector stops each watch, also one that has ended by itself, before it opens the
// next.
type trackedWatch struct {
	watch.Interface
	listWatch *trackedListWatch
	once      sync.Once
}

// Stop implements watch.Interface.
func (w *trackedWatch) Stop() {
	w.once.Do(func() {
		w.listWatch.mu.Lock()
		defer w.listWatch.mu.Unlock()
		w.listWatch.staleErr = errReconnecting
	})
	w.Interface.Stop()
}

// current returns an error unless the kinds are synced, or not installed, and their changes are received. Otherwise a
// new object might be missing.
func (c *Cache) current(kinds ...postern.TargetKind) error {
	if err := c.ready(kinds...); err != nil {
		return err
	}
	for _, kind := range kinds {
		if err := c.kinds[kind].listWatch.current(); err != nil {
			return fmt.Errorf("the cache of %s is behind: %w", kind, err)
		}
	}
	return nil
}
