// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package webhookdelivery

import (
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// unwrapped is a watch from within the process. The watch cache wraps what it reports, so that it is encoded only once for
// all clients; a reflector of client-go drops what is not of the type that it expects.
//
// Source: setCachingObjects in k8s.io/apiserver, pkg/storage/cacher/cacher.go.
type unwrapped struct {
	watcher watch.Interface
	events  chan watch.Event
	stopped chan struct{}
	stop    sync.Once
}

func unwrap(watcher watch.Interface) watch.Interface {
	u := &unwrapped{watcher: watcher, events: make(chan watch.Event), stopped: make(chan struct{})}
	go u.pass()
	return u
}

// ResultChan returns the events. It is closed when the watch has ended.
func (u *unwrapped) ResultChan() <-chan watch.Event { return u.events }

// Stop ends the watch, whether or not anybody reads the events that are left.
func (u *unwrapped) Stop() {
	u.stop.Do(func() { close(u.stopped) })
	u.watcher.Stop()
}

func (u *unwrapped) pass() {
	defer close(u.events)
	for event := range u.watcher.ResultChan() {
		if wrapped, ok := event.Object.(runtime.CacheableObject); ok {
			event.Object = wrapped.GetObject()
		}
		select {
		case u.events <- event:
		case <-u.stopped:
			return
		}
	}
}
