// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package webhookdelivery

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"postern.dev/postern/apis/postern"
)

// untilListed waits until the watch cache has these records, given as namespace/name.
func (e storeFixture) untilListed(ctx context.Context, want ...string) ([]postern.WebhookDelivery, error) {
	var records []postern.WebhookDelivery
	var diff string
	condition := func(ctx context.Context) (bool, error) {
		listed, err := e.List(ctx)
		if apierrors.IsTooManyRequests(err) {
			return false, nil // the storage is initializing
		}
		if err != nil {
			return false, err
		}
		records = listed
		got := make([]string, 0, len(records))
		for _, r := range records {
			got = append(got, r.Namespace+"/"+r.Name)
		}
		slices.Sort(got)
		diff = cmp.Diff(want, got)
		return diff == "", nil
	}
	err := wait.PollUntilContextTimeout(ctx, 10*time.Millisecond, time.Minute, true, condition)
	if err != nil {
		return nil, fmt.Errorf("%w: listed (-want +got):\n%s", err, diff)
	}
	return records, nil
}

func TestStore_AllNamespaces(t *testing.T) {
	store := newStoreFixture(t, time.Hour)
	for _, namespace := range []string{"a", "b"} {
		for _, name := range []string{"one", "two"} {
			d := pending(name)
			d.Namespace, d.Status.Phase = namespace, postern.DeliveryApplied
			if _, err := store.Create(t.Context(), d, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	records, err := store.untilListed(t.Context(), "a/one", "a/two", "b/one", "b/two")
	if err != nil {
		t.Fatal(err)
	}
	if count, err := store.Count(t.Context()); err != nil || count != 4 {
		t.Errorf("counted %d, %v; want 4", count, err)
	}
	for i := range records {
		if records[i].Name == "one" {
			if err := store.Evict(t.Context(), &records[i]); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := store.untilListed(t.Context(), "a/two", "b/two"); err != nil {
		t.Error(err)
	}
}

// A client must not be able to keep records over the limits, by finalizers or by changing them all the time.
func TestStore_EvictIgnoresFinalizersAndChanges(t *testing.T) {
	store := newStoreFixture(t, time.Hour)
	kept := pending("one")
	kept.Status.Phase, kept.Finalizers = postern.DeliveryApplied, []string{"example.com/keep"}
	listed, err := store.Create(t.Context(), kept, false)
	if err != nil {
		t.Fatal(err)
	}
	changed := listed.DeepCopy()
	changed.Status.Message = "changed"
	if _, err := store.UpdateStatus(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	other := listed.DeepCopy()
	other.UID = "other"
	if err := store.Evict(t.Context(), other); !apierrors.IsConflict(err) {
		t.Errorf("another record of that name: got error %v, want a conflict", err)
	}
	if err := store.Evict(t.Context(), listed); err != nil {
		t.Error(err)
	}
	if err := store.Evict(t.Context(), listed); !apierrors.IsNotFound(err) {
		t.Errorf("got error %v, want that it is gone", err)
	}
}

func TestStore_EvictKeepsPendingRecord(t *testing.T) {
	store := newStoreFixture(t, time.Hour)
	record, err := store.Create(t.Context(), pending("one"), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Evict(t.Context(), record); !apierrors.IsConflict(err) {
		t.Errorf("got error %v, want a conflict", err)
	}
}

func TestStore_FinalizerDelaysDeletion(t *testing.T) {
	store := newStoreFixture(t, time.Hour)
	ctx := genericapirequest.WithNamespace(t.Context(), "demo")
	record := pending("one")
	record.Finalizers = []string{"example.com/keep"}
	if _, err := store.Create(ctx, record, false); err != nil {
		t.Fatal(err)
	}
	storage := NewREST(store.Store, &fakeExecutor{})
	_, deleted, err := storage.Delete(ctx, "one", rest.ValidateAllObjectFunc, &metav1.DeleteOptions{})
	if err != nil || deleted {
		t.Fatalf("deleted at once: %t, %v", deleted, err)
	}
	record, err = store.Get(ctx, "demo", "one")
	if err != nil || record.DeletionTimestamp == nil {
		t.Fatalf("got deletion timestamp %v, %v", record.DeletionTimestamp, err)
	}
	if _, err := store.leaseSeconds(ctx, "one"); err != nil {
		t.Error(err)
	}
	record = record.DeepCopy()
	record.Finalizers = nil
	_, _, err = storage.Update(ctx, "one", rest.DefaultUpdatedObjectInfo(record), nil, rest.ValidateAllObjectUpdateFunc,
		false, &metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Get(ctx, "demo", "one"); !apierrors.IsNotFound(err) {
		t.Errorf("got error %v, want that it is gone", err)
	}
}
