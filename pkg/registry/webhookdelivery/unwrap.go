// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package webhookdelivery

import (
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// unwrappingWatch is a watch from within the process. The watch cache wraps what it reports, so that it is encoded only once for
// all clients; a reflector of client-go drops what is not of the type that it expects.
//
// Source: setCachingObjects in k8s.io/apiserver, pkg/storage/cacher/cacher.go.
type unwrappingWatch struct {
	watcher watch.Interface
	events  chan watch.Event
	stopped chan struct{}
	stop    sync.Once
}

func unwrap(watcher watch.Interface) watch.Interface {
	u := &unwrappingWatch{watcher: watcher, events: make(chan watch.Event), stopped: make(chan struct{})}
	go u.run()
	return u
}

// ResultChan returns the events. It is closed when the watch has ended.
func (w *unwrappingWatch) ResultChan() <-chan watch.Event { return w.events }

// Stop ends the watch, whether or not anybody reads the events that are left.
func (w *unwrappingWatch) Stop() {
	w.stop.Do(func() { close(w.stopped) })
	w.watcher.Stop()
}

func (w *unwrappingWatch) run() {
	defer close(w.events)
	for event := range w.watcher.ResultChan() {
		if wrapped, ok := event.Object.(runtime.CacheableObject); ok {
			event.Object = wrapped.GetObject()
		}
		select {
		case w.events <- event:
		case <-w.stopped:
			return
		}
	}
}
