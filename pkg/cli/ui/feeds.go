// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"errors"
	"sync"
	"time"

	"postern.dev/postern/pkg/generated/clientset/versioned"
)

const (
	// maxFeeds bounds the namespaces that are followed at a time.
	maxFeeds = 8
	// linger is how long a feed runs on after its last watcher, who may only have followed a link.
	linger = time.Minute
)

var errTooManyFeeds = errors.New("too many namespaces are open: close one in another tab")

// feeds has one feed for each namespace that is looked at.
type feeds struct {
	// ctx ends all feeds.
	ctx    context.Context
	client versioned.Interface
	limit  int

	mu   sync.Mutex
	open map[string]*openFeed
}

type openFeed struct {
	*feed
	stop     context.CancelFunc
	watchers int
	// closing ends the feed after a while without watchers. Nil while it has watchers.
	closing *time.Timer
	idle    time.Time
}

func newFeeds(ctx context.Context, client versioned.Interface) *feeds {
	return &feeds{ctx: ctx, client: client, limit: maxRecords, open: map[string]*openFeed{}}
}

// watch returns the feed of a namespace, "" for all. The caller calls release, once, when done.
func (f *feeds) watch(namespace string) (_ *feed, release func(), err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := f.open[namespace]
	if o == nil {
		if len(f.open) == maxFeeds && !f.closeIdle() {
			return nil, nil, errTooManyFeeds
		}
		ctx, stop := context.WithCancel(f.ctx)
		o = &openFeed{feed: newFeed(f.client.PosternV1alpha1().WebhookDeliveries(namespace), f.limit), stop: stop}
		f.open[namespace] = o
		go o.run(ctx)
	}
	if o.closing != nil {
		o.closing.Stop()
		o.closing = nil
	}
	o.watchers++
	return o.feed, func() { f.release(namespace, o) }, nil
}

func (f *feeds) release(namespace string, o *openFeed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if o.watchers--; o.watchers > 0 {
		return
	}
	o.idle = time.Now()
	o.closing = time.AfterFunc(linger, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		// A new watcher may have come while the timer fired.
		if o.watchers == 0 && time.Since(o.idle) >= linger {
			f.close(namespace, o)
		}
	})
}

// closeIdle closes the feed that has been without watchers for the longest time, and reports whether there is one.
func (f *feeds) closeIdle() bool {
	var oldest *openFeed
	in := ""
	for namespace, o := range f.open {
		if o.watchers == 0 && (oldest == nil || o.idle.Before(oldest.idle)) {
			oldest, in = o, namespace
		}
	}
	if oldest != nil {
		f.close(in, oldest)
	}
	return oldest != nil
}

func (f *feeds) close(namespace string, o *openFeed) {
	o.stop()
	if f.open[namespace] == o {
		delete(f.open, namespace)
	}
}
