// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"container/heap"
	"slices"
)

// eviction chooses which records to delete. It takes the oldest of the namespace that holds most, again and again:
// one that holds little keeps its history, however much others deliver.
type eviction struct {
	// measure is what counts of a namespace: its records, or their bytes.
	measure func(usage) int64
	queue   []*namespaceRecords
}

// namespaceRecords is a namespace with its records that may be deleted, the oldest first, and what all of its records come to.
type namespaceRecords struct {
	deletable []entry
	size      int64
}

// evict returns the records to delete until all namespaces together hold no more than goal, or no more may be deleted.
func evict(deletable []entry, namespaces map[string]usage, goal int64, measure func(usage) int64) []entry {
	e := &eviction{measure: measure}
	slices.SortFunc(deletable, byAge)
	byNamespace, all := map[string]*namespaceRecords{}, int64(0)
	for name, h := range namespaces {
		byNamespace[name] = &namespaceRecords{size: measure(h)}
		all += measure(h)
	}
	for _, record := range deletable {
		if h := byNamespace[record.Namespace]; h != nil {
			h.deletable = append(h.deletable, record)
		}
	}
	for _, h := range byNamespace {
		if len(h.deletable) > 0 {
			e.queue = append(e.queue, h)
		}
	}
	heap.Init(e)
	var evicted []entry
	for all > goal && len(e.queue) > 0 {
		largest := e.queue[0]
		record := largest.deletable[0]
		evicted = append(evicted, record)
		size := measure(record.usage)
		all, largest.size, largest.deletable = all-size, largest.size-size, largest.deletable[1:]
		if len(largest.deletable) == 0 {
			heap.Pop(e)
		} else {
			heap.Fix(e, 0)
		}
	}
	return evicted
}

// byAge sorts the oldest first. Times of creation are whole seconds, those of receipt are not.
func byAge(a, b entry) int {
	return cmp.Or(a.created.Compare(b.created), a.received.Compare(b.received), cmp.Compare(a.uid, b.uid),
		cmp.Compare(a.Name, b.Name), cmp.Compare(a.Namespace, b.Namespace))
}

// Len, Less, Swap, Push and Pop make a heap of the namespaces, the one that holds most first.

// Len is how many namespaces have something to delete.
func (e *eviction) Len() int { return len(e.queue) }

// Less puts first who holds more, and among equals whose record is older.
func (e *eviction) Less(i, j int) bool {
	a, b := e.queue[i], e.queue[j]
	if a.size != b.size {
		return a.size > b.size
	}
	return byAge(a.deletable[0], b.deletable[0]) < 0
}

// Swap exchanges two.
func (e *eviction) Swap(i, j int) { e.queue[i], e.queue[j] = e.queue[j], e.queue[i] }

// Push is never called: no namespace comes in later.
func (e *eviction) Push(x any) { e.queue = append(e.queue, x.(*namespaceRecords)) }

// Pop takes the last.
func (e *eviction) Pop() any {
	last := e.queue[len(e.queue)-1]
	e.queue = e.queue[:len(e.queue)-1]
	return last
}
