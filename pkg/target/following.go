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
)

// settling is how long it may take after an outage until what was missed is in the cache. Without an outage a watch goes
// on at once from where the last one ended.
const settling = 2 * time.Second

// errReconnecting is why a cache is behind between the end of a watch and the next.
var errReconnecting = errors.New("the watch has ended, and the next is not open yet")

// following lists and watches as what it wraps, and knows whether what it follows is followed. It is safe for concurrent
// use.
type following struct {
	cache.ListerWatcherWithContext
	now func() time.Time

	mu sync.Mutex
	// behind is why changes are missed; nil while a watch is open.
	behind error
	// begun is set once there was a list or a watch, and outage from a failure after that until the next one.
	begun, outage bool
	// settled is when what was missed is in the cache.
	settled time.Time
}

func follow(lw cache.ListerWatcher, now func() time.Time) *following {
	return &following{ListerWatcherWithContext: cache.ToListerWatcherWithContext(lw), now: now}
}

// current returns an error while changes are missed. It has none of a kind that is not installed.
func (f *following) current() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.behind != nil && isKindMissing(f.behind):
		return nil
	case f.behind != nil:
		return f.behind
	case f.now().Before(f.settled):
		return errReconnecting
	}
	return nil
}

// failed takes note of a list that failed, or a watch that could not be opened.
func (f *following) failed(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.behind, f.outage = err, f.begun
}

// goesOn takes note of a list, or a watch that was opened.
func (f *following) goesOn() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.outage {
		f.settled = f.now().Add(settling)
	}
	f.behind, f.begun, f.outage = nil, true, false
}

// List is ListWithContext without a context.
func (f *following) List(options metav1.ListOptions) (runtime.Object, error) {
	return f.ListWithContext(context.Background(), options)
}

// ListWithContext lists.
func (f *following) ListWithContext(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	list, err := f.ListerWatcherWithContext.ListWithContext(ctx, options)
	if err != nil {
		f.failed(err)
		return nil, err
	}
	f.goesOn()
	return list, nil
}

// Watch is WatchWithContext without a context.
func (f *following) Watch(options metav1.ListOptions) (watch.Interface, error) {
	return f.WatchWithContext(context.Background(), options)
}

// WatchWithContext opens a watch.
func (f *following) WatchWithContext(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	watcher, err := f.ListerWatcherWithContext.WatchWithContext(ctx, options)
	if err != nil {
		f.failed(err)
		return nil, err
	}
	f.goesOn()
	return &followed{Interface: watcher, following: f}, nil
}

// followed is an open watch. A reflector stops each, also one that has ended by itself, before it opens the next.
type followed struct {
	watch.Interface
	following *following
	once      sync.Once
}

// Stop ends the watch.
func (w *followed) Stop() {
	w.once.Do(func() {
		w.following.mu.Lock()
		defer w.following.mu.Unlock()
		w.following.behind = errReconnecting
	})
	w.Interface.Stop()
}

// current returns an error unless these kinds are wholly in the cache, or not installed, and their changes are followed:
// an object that was created meanwhile would be missing.
func (c *Cache) current(kinds ...Kind) error {
	if err := c.ready(kinds...); err != nil {
		return err
	}
	for _, kind := range kinds {
		if err := c.kinds[kind].source.current(); err != nil {
			return fmt.Errorf("the cache of %s is behind: %w", kind, err)
		}
	}
	return nil
}
