// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"postern.dev/postern/apis/postern/v1alpha1"
)

func newRecord(uid int, received time.Time, phase v1alpha1.DeliveryPhase) *record {
	return &record{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("generic-%05d", uid), UID: types.UID(fmt.Sprint(uid))},
		Received:   received, Phase: phase,
	}
}

// The window is compared with all records, sorted, after each random change.
func TestWindow_KeepsTheNewest(t *testing.T) {
	const limit = 8
	random := rand.New(rand.NewPCG(1, 2))
	w := newWindow(limit)
	all := map[types.UID]*record{}
	now := time.Unix(1e9, 0)
	for step := range 5000 {
		// New ones are mostly received in order; a replica's clock may be behind.
		received := now.Add(time.Duration(step-random.IntN(4)) * time.Second)
		switch uid := random.IntN(40); {
		case random.IntN(3) == 0 && len(all) > 0:
			for uid := range all {
				w.remove(uid)
				delete(all, uid)
				break
			}
		default:
			r := newRecord(uid, received, v1alpha1.DeliveryPending)
			if old := all[r.UID]; old != nil {
				r.Received = old.Received
				r.Phase = v1alpha1.DeliveryApplied
				w.update(r)
				if w.byUID[r.UID] == nil {
					break // not kept
				}
			} else {
				w.add(r)
			}
			all[r.UID] = r
		}
		checkWindow(t, w, all)
		if t.Failed() {
			t.Fatalf("after step %d", step)
		}
	}
}

func checkWindow(t *testing.T, w *window, all map[types.UID]*record) {
	t.Helper()
	if len(w.records) > w.limit || len(w.records) != len(w.byUID) {
		t.Errorf("there are %d records and %d by UID; at most %d are kept", len(w.records), len(w.byUID), w.limit)
	}
	if !slices.IsSortedFunc(w.records, byAge) {
		t.Error("the records are not sorted")
	}
	if len(w.records)+w.older != len(all) {
		t.Errorf("%d are kept and %d are older, of %d", len(w.records), w.older, len(all))
	}
	var sorted []*record
	for _, r := range all {
		sorted = append(sorted, r)
	}
	slices.SortFunc(sorted, byAge)
	if newest := sorted[len(sorted)-len(w.records):]; !slices.Equal(newest, w.records) {
		t.Error("the records are not the newest")
	}
}
