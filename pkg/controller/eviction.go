// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"container/heap"
	"slices"
)

// eviction chooses the records to delete. It repeatedly takes the oldest record of the largest namespace, so that a
// small namespace keeps its history however much others deliver.
type eviction struct {
	// measure returns the size of a namespace: its records, or their bytes.
	measure func(usage) int64
	queue   []*namespaceRecords
}

// namespaceRecords is a namespace with its deletable records, oldest first, and the size of all its records.
type namespaceRecords struct {
	deletable []entry
	size      int64
}

// evict returns the records to delete until the size of all namespaces is at most goal, or until none is deletable.
func evict(deletable []entry, namespaces map[string]usage, goal int64, measure func(usage) int64) []entry {
	e := &eviction{measure: measure}
	slices.SortFunc(deletable, byAge)
	byNamespace, all := map[string]*namespaceRecords{}, int64(0)
	for name, u := range namespaces {
		byNamespace[name] = &namespaceRecords{size: measure(u)}
		all += measure(u)
	}
	for _, record := range deletable {
		if n := byNamespace[record.Namespace]; n != nil {
			n.deletable = append(n.deletable, record)
		}
	}
	for _, n := range byNamespace {
		if len(n.deletable) > 0 {
			e.queue = append(e.queue, n)
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

// byAge orders records by age, oldest first. Creation times have a resolution of seconds, times of receipt a finer one.
func byAge(a, b entry) int {
	return cmp.Or(a.created.Compare(b.created), a.received.Compare(b.received), cmp.Compare(a.uid, b.uid),
		cmp.Compare(a.Name, b.Name), cmp.Compare(a.Namespace, b.Namespace))
}

// Len, Less, Swap, Push and Pop implement heap.Interface, with the largest namespace first.

// Len returns the number of namespaces with deletable records.
func (e *eviction) Len() int { return len(e.queue) }

// Less puts the larger namespace first, and among equals the one with the older record.
func (e *eviction) Less(i, j int) bool {
	a, b := e.queue[i], e.queue[j]
	if a.size != b.size {
		return a.size > b.size
	}
	return byAge(a.deletable[0], b.deletable[0]) < 0
}

// Swap swaps two namespaces.
func (e *eviction) Swap(i, j int) { e.queue[i], e.queue[j] = e.queue[j], e.queue[i] }

// Push is never called, since no namespace is added later.
func (e *eviction) Push(x any) { e.queue = append(e.queue, x.(*namespaceRecords)) }

// Pop removes the last namespace.
func (e *eviction) Pop() any {
	last := e.queue[len(e.queue)-1]
	e.queue = e.queue[:len(e.queue)-1]
	return last
}
