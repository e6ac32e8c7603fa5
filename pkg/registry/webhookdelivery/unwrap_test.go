// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package webhookdelivery

import (
	"testing"
	"testing/synctest"

	"k8s.io/apimachinery/pkg/watch"
)

// A reflector stops a watch and reads no further. A leaked goroutine fails the test.
func TestUnwrappingWatch_UnreadEnds(t *testing.T) {
	for name, pass := range map[string]func(*watch.FakeWatcher, watch.Interface){
		"stopped": func(_ *watch.FakeWatcher, u watch.Interface) { u.Stop() },
		"stopped with an unread event": func(w *watch.FakeWatcher, u watch.Interface) {
			w.Add(applied())
			u.Stop()
			u.Stop()
		},
		"ended by the storage": func(w *watch.FakeWatcher, u watch.Interface) {
			w.Stop()
			if _, open := <-u.ResultChan(); open {
				t.Error("got an unexpected event")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(*testing.T) {
				watcher := watch.NewFake()
				pass(watcher, unwrap(watcher))
			})
		})
	}
}
