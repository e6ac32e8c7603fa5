// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package webhookdelivery

import (
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// unwrappingWatch is a watch within the process. The watch cache wraps objects so that they are encoded only once for
// all clients, and client-go's reflector drops objects of unexpected types.
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

// ResultChan returns the events. It is closed when the watch ends.
func (w *unwrappingWatch) ResultChan() <-chan watch.Event { return w.events }

// Stop ends the watch. Pending events need not be read.
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
