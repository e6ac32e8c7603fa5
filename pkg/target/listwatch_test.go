// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"postern.dev/postern/apis/postern"
)

func TestListWatch_CurrentWhileWatching(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("connection refused")
		missing := &apierrors.StatusError{ErrStatus: metav1.Status{Reason: metav1.StatusReasonNotFound, Code: 404,
			Details: &metav1.StatusDetails{
				Causes: []metav1.StatusCause{{Type: metav1.CauseTypeUnexpectedServerResponse}}}}}
		var fails error
		f := newTrackedListWatch(&cache.ListWatch{
			ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
				return nil, fails
			},
			WatchFuncWithContext: func(context.Context, metav1.ListOptions) (watch.Interface, error) {
				return watch.NewFake(), fails
			},
		})
		current := func(when string, want bool) {
			t.Helper()
			if err := f.current(); (err == nil) != want {
				t.Errorf("%s: got %v", when, err)
			}
		}
		open := func() watch.Interface {
			t.Helper()
			watcher, err := f.WatchWithContext(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return watcher
		}
		f.record(down) // as if a watch can't begin with a list
		_, _ = f.ListWithContext(t.Context(), metav1.ListOptions{})
		current("listed", true)
		watcher := open()
		current("a watch is open", true)
		watcher.Stop()
		current("it has ended", false)
		watcher = open()
		current("the next continues where it ended", true)

		fails = down
		watcher.Stop()
		_, _ = f.WatchWithContext(t.Context(), metav1.ListOptions{})
		current("none can be opened", false)
		_, _ = f.ListWithContext(t.Context(), metav1.ListOptions{})
		current("nothing can be listed", false)
		fails = nil
		open()
		current("it delivers missed changes", false)
		advance(settleDelay)
		current("it has delivered missed changes", true)
		f.record(down)
		_, _ = f.ListWithContext(t.Context(), metav1.ListOptions{})
		open()
		current("the items of a list are not in the cache yet", false)
		advance(settleDelay)
		current("what a list had is in the cache", true)

		fails = missing
		_, _ = f.ListWithContext(t.Context(), metav1.ListOptions{})
		current("the kind is not installed any more", true)
	})
}

// The new Application is created while no watch can be opened, and would be missed permanently.
func TestListWatch_ReconnectMissesNoTarget(t *testing.T) {
	api, cache := startCacheOf(t)
	main := Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "main", RefType: postern.RefTypeBranch,
		Repository: shop}}
	if got := matched(t, cache, "demo", main); got != nil {
		t.Fatalf("got %v before one is created", got)
	}
	api.serve(applications, unavailable)
	api.CloseClientConnections()
	eventually(t, "the next watch was refused", func() bool {
		_, err := cache.Matches("demo", main)
		return IsTransient(err) && !errors.Is(err, errReconnecting)
	})
	api.serve(applications, &answer{text: `{"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
		"metadata": {"namespace": "demo", "name": "new", "resourceVersion": "7"}, "spec": {"source": {"repoURL": "` +
		shop + `", "targetRevision": "main"}}}`})
	var matches []Match
	eventually(t, "what wants it is known", func() bool {
		var err error
		if matches, err = cache.Matches("demo", main); err != nil && !IsTransient(err) {
			t.Error(err)
		}
		return err == nil
	})
	if len(matches) != 1 || matches[0].Key.Name != "new" {
		t.Errorf("got %v once that is known, want the new Application", matches)
	}
}

// A new target may be missing from a cache that does not follow changes.
func TestListWatch_UnknownWithoutWatch(t *testing.T) {
	_, cache := startCacheOf(t)
	git, nginx := branch("main"), Request{DeliveryEvent: &postern.DeliveryEvent{Image: image(t, "nginx:1.26")}}
	for _, r := range []Request{git, nginx} {
		if _, err := cache.Matches("demo", r); err != nil {
			t.Fatal(err)
		}
	}
	source := cache.kinds[postern.TargetApplication].listWatch
	source.record(errors.New("connection refused"))
	for _, r := range []Request{git, nginx} {
		if _, err := cache.Matches("demo", r); !IsTransient(err) {
			t.Errorf("got %v, want a transient error", err)
		}
	}
	if err := cache.Ready(); err != nil {
		t.Errorf("the replica is not ready because of it: %v", err)
	}
}
