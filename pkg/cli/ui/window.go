// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// window keeps the newest records of a feed. It is not safe for concurrent use.
type window struct {
	limit int
	byUID map[types.UID]*record
	// records are sorted, the oldest first.
	records []*record
	// older is the number of records that exist but are not kept, and newestOlder the newest of them.
	older       int
	newestOlder *record
}

func newWindow(limit int) *window { return &window{limit: limit, byUID: map[types.UID]*record{}} }

func byAge(a, b *record) int {
	return cmp.Or(a.Received.Compare(b.Received), cmp.Compare(a.UID, b.UID))
}

// add adds a new record, in place of the oldest one if the window is full.
func (w *window) add(r *record) {
	if _, known := w.byUID[r.UID]; known {
		w.update(r)
		return
	}
	if w.newestOlder != nil && byAge(r, w.newestOlder) < 0 {
		w.older++
		return
	}
	at, _ := slices.BinarySearchFunc(w.records, r, byAge)
	w.records = slices.Insert(w.records, at, r)
	w.byUID[r.UID] = r
	if len(w.records) > w.limit {
		w.newestOlder = w.records[0]
		w.take(w.newestOlder)
		w.older++
	}
}

// update replaces a record. One that is not kept is older than all others.
func (w *window) update(r *record) {
	old, known := w.byUID[r.UID]
	if !known {
		return
	}
	w.take(old)
	w.add(r)
}

// remove removes a deleted record.
func (w *window) remove(uid types.UID) {
	if old, known := w.byUID[uid]; known {
		w.take(old)
	} else {
		w.older = max(0, w.older-1)
	}
}

func (w *window) take(r *record) {
	if at, found := slices.BinarySearchFunc(w.records, r, byAge); found {
		w.records = slices.Delete(w.records, at, at+1)
	}
	delete(w.byUID, r.UID)
}
