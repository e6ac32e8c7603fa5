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
	"k8s.io/apimachinery/pkg/util/wait"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

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
			d.Namespace = namespace
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
			if err := store.Delete(t.Context(), &records[i]); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := store.untilListed(t.Context(), "a/two", "b/two"); err != nil {
		t.Error(err)
	}
}

func TestStore_DeleteNeedsUnchangedRecord(t *testing.T) {
	store := newStoreFixture(t, time.Hour)
	ctx := genericapirequest.WithNamespace(t.Context(), "demo")
	listed, err := store.Create(ctx, pending("one"), false)
	if err != nil {
		t.Fatal(err)
	}
	changed := listed.DeepCopy()
	changed.Status.Message = "changed"
	if _, err := store.UpdateStatus(ctx, changed); err != nil {
		t.Fatal(err)
	}
	if err := store.Delete(t.Context(), listed); !apierrors.IsConflict(err) {
		t.Errorf("got error %v, want a conflict", err)
	}
}
