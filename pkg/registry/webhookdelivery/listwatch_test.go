// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package webhookdelivery

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/tools/cache"

	"postern.dev/postern/apis/postern"
)

var (
	_ cache.ListerWatcher            = ListWatch{}
	_ cache.ListerWatcherWithContext = ListWatch{}
)

// create stores a record in a phase.
func (e storeFixture) create(
	t *testing.T, namespace, name string, phase postern.DeliveryPhase,
) *postern.WebhookDelivery {
	t.Helper()
	d := pending(name)
	d.Namespace, d.Status.Phase = namespace, phase
	created, err := e.Create(genericapirequest.WithNamespace(t.Context(), namespace), d, false)
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// setPhase stores the phase of a record.
func (e storeFixture) setPhase(
	t *testing.T, d *postern.WebhookDelivery, phase postern.DeliveryPhase,
) *postern.WebhookDelivery {
	t.Helper()
	d = d.DeepCopy()
	d.Status.Phase = phase
	updated, err := e.UpdateStatus(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return updated
}

func list(t *testing.T, p ListWatch) (*postern.WebhookDeliveryList, []string) {
	t.Helper()
	obj, err := p.ListWithContext(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	deliveries := obj.(*postern.WebhookDeliveryList)
	var names []string
	for _, d := range deliveries.Items {
		names = append(names, d.Namespace+"/"+d.Name)
	}
	slices.Sort(names)
	return deliveries, names
}

// next returns the next watch event in short form.
func next(t *testing.T, watcher watch.Interface) string {
	t.Helper()
	select {
	case event := <-watcher.ResultChan():
		d, ok := event.Object.(*postern.WebhookDelivery)
		if !ok {
			t.Fatalf("got an event of %T %v", event.Object, event.Object)
		}
		return string(event.Type) + " " + d.Namespace + "/" + d.Name
	case <-time.After(time.Minute):
		t.Fatal("got no event")
		return ""
	}
}

func TestListWatch_PendingInAllNamespaces(t *testing.T) {
	store := newStoreFixture(t, time.Hour)
	a := store.create(t, "demo", "a", postern.DeliveryPending)
	store.create(t, "other", "b", postern.DeliveryPending)
	done := store.create(t, "demo", "done", postern.DeliveryApplied)
	store.create(t, "demo", "failed", postern.DeliveryFailed)

	listed, got := list(t, store.Pending())
	if diff := cmp.Diff([]string{"demo/a", "other/b"}, got); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	watcher, err := store.Pending().WatchWithContext(t.Context(),
		metav1.ListOptions{ResourceVersion: listed.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Stop()
	store.create(t, "other", "ignored", postern.DeliveryIgnored)
	store.create(t, "third", "c", postern.DeliveryPending)
	a.Status.Reason = "TargetUnavailable"
	a = store.setPhase(t, a, postern.DeliveryPending)
	store.setPhase(t, a, postern.DeliveryApplied)
	store.setPhase(t, done, postern.DeliveryPending) // by a repeat
	want := []string{"ADDED third/c", "MODIFIED demo/a", "DELETED demo/a", "ADDED demo/done"}
	var events []string
	for range want {
		events = append(events, next(t, watcher))
	}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Errorf("watched (-want +got):\n%s", diff)
	}
	if _, got := list(t, store.Pending()); !slices.Equal(got, []string{"demo/done", "other/b", "third/c"}) {
		t.Errorf("listed %v afterwards", got)
	}
}

// A selector of the caller could hide deliveries to be retried.
func TestListWatch_CombinesSelectors(t *testing.T) {
	seconds := int64(7)
	got := (&Store{}).Pending().listOptions(metav1.ListOptions{
		LabelSelector: "team=a", FieldSelector: "status.phase=Applied", ResourceVersion: "9",
		ResourceVersionMatch: "NotOlderThan",
		TimeoutSeconds:       &seconds, Limit: 5, Continue: "next", AllowWatchBookmarks: true,
	})
	if got.FieldSelector.String() != "status.phase=Pending" || got.LabelSelector != nil {
		t.Errorf("selected by %v, %v", got.FieldSelector, got.LabelSelector)
	}
	if got.ResourceVersion != "9" || got.ResourceVersionMatch != "NotOlderThan" || *got.TimeoutSeconds != 7 ||
		got.Limit != 5 ||
		got.Continue != "next" || !got.AllowWatchBookmarks {
		t.Errorf("options for a reflector: %+v", got)
	}
}

// This tests client-go and the storage together.
func TestListWatch_Informer(t *testing.T) {
	store := newStoreFixture(t, time.Hour)
	a := store.create(t, "demo", "a", postern.DeliveryPending)
	store.create(t, "demo", "done", postern.DeliveryApplied)
	informer := cache.NewSharedIndexInformer(store.Pending(), &postern.WebhookDelivery{}, 0, cache.Indexers{})
	changed := make(chan struct{}, 10)
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { changed <- struct{}{} },
		UpdateFunc: func(_, _ any) { changed <- struct{}{} },
		DeleteFunc: func(any) { changed <- struct{}{} },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	ended := make(chan struct{})
	go func() { informer.RunWithContext(ctx); close(ended) }()
	defer func() { stop(); <-ended }()
	expect := func(want ...string) {
		t.Helper()
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatal("got no event")
		}
		got := informer.GetStore().ListKeys()
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("the reflector has %v, want %v", got, want)
		}
	}
	expect("demo/a")
	store.create(t, "other", "b", postern.DeliveryPending)
	expect("demo/a", "other/b")
	store.setPhase(t, a, postern.DeliverySuperseded)
	expect("other/b")
}
