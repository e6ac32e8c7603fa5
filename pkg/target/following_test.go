// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

func TestAKindIsCurrentWhileItIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("connection refused")
		missing := &apierrors.StatusError{ErrStatus: metav1.Status{Reason: metav1.StatusReasonNotFound, Code: 404,
			Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: metav1.CauseTypeUnexpectedServerResponse}}}}}
		var fails error
		f := follow(&cache.ListWatch{
			ListFunc:  func(metav1.ListOptions) (runtime.Object, error) { return nil, fails },
			WatchFunc: func(metav1.ListOptions) (watch.Interface, error) { return watch.NewFake(), fails },
		}, time.Now)
		current := func(when string, want bool) {
			t.Helper()
			if err := f.current(); (err == nil) != want {
				t.Errorf("%s: got %v", when, err)
			}
		}
		open := func() watch.Interface {
			t.Helper()
			watcher, err := f.Watch(metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return watcher
		}
		_, _ = f.List(metav1.ListOptions{})
		current("listed", true)
		watcher := open()
		current("a watch is open", true)
		watcher.Stop()
		current("it has ended", false)
		watcher = open()
		current("the next goes on where it ended", true)

		fails = down
		watcher.Stop()
		_, _ = f.Watch(metav1.ListOptions{})
		current("none can be opened", false)
		_, _ = f.List(metav1.ListOptions{})
		current("nothing can be listed", false)
		fails = nil
		open()
		current("it tells of what was missed", false)
		time.Sleep(settling)
		current("it has told of what was missed", true)
		f.failed(down)
		_, _ = f.List(metav1.ListOptions{})
		open()
		current("a list has what was missed", true)

		fails = missing
		_, _ = f.List(metav1.ListOptions{})
		current("the kind is not installed any more", true)
	})
}

// A new target may be missing from a cache that does not follow changes.
func TestMatchesAreUnknownWhileChangesAreNotFollowed(t *testing.T) {
	_, cache := startCacheOf(t)
	git, nginx := branch("main"), Request{Image: image(t, "nginx:1.26")}
	for _, r := range []Request{git, nginx} {
		if _, err := cache.Matches("demo", r); err != nil {
			t.Fatal(err)
		}
	}
	source := cache.kinds[KindApplication].source
	source.failed(errors.New("connection refused"))
	for _, r := range []Request{git, nginx} {
		if _, err := cache.Matches("demo", r); !IsTransient(err) {
			t.Errorf("got %v, want an error that may pass", err)
		}
	}
	if err := cache.Ready(); err != nil {
		t.Errorf("a replica is unready for it: %v", err)
	}
}
