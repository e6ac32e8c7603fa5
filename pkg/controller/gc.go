// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"container/heap"
	"context"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"

	"postern.dev/postern/apis/postern"
)

const (
	// gcInterval bounds how far a flood of deliveries can exceed the maximum.
	gcInterval = time.Second

	// etcd batches the fsync of concurrent deletes. Sequential ones can't keep up with a flood.
	maxConcurrentDeletes = 16
)

// RecordDeleter deletes stored deliveries. It is safe for concurrent use.
type RecordDeleter interface {
	// Evict deletes a record, unless it is pending or another record by now. It ignores finalizers.
	Evict(ctx context.Context, record *postern.WebhookDelivery) error
}

// GarbageCollector deletes the oldest records before they expire if there are too many or they take too many bytes. It
// starts with the largest namespace. It keeps pending records: a delivery that was answered 2xx is not lost.
type GarbageCollector struct {
	Records RecordDeleter
	// Index is the usage of all records.
	Index *RecordIndex
	// Max is how many records may be stored, and MaxBytes how many bytes of JSON they may take. It deletes down to 90%
	// of them, so that it need not delete after each delivery.
	Max, MaxBytes int64
	// NearQuota reports whether the storage is short of space. Then it deletes regardless of both. It may be nil.
	NearQuota func() bool
}

// Start runs until ctx is done. It is a Runnable of controller-runtime's manager.
func (c *GarbageCollector) Start(ctx context.Context) error {
	runPeriodically(ctx, gcInterval, "Could not delete the oldest deliveries over the limit", c.collect)
	return nil
}

func (c *GarbageCollector) collect(ctx context.Context) error {
	excess := c.excess()
	if len(excess) == 0 {
		return nil
	}
	before := c.Index.total()
	deleted, err := c.deleteAll(ctx, excess)
	klog.FromContext(ctx).Info("Deleted the oldest deliveries over the limit",
		"deleted", deleted, "stored", before.records, "max", c.Max, "bytes", before.bytes, "maxBytes", c.MaxBytes)
	return err
}

// excess returns the records to delete.
func (c *GarbageCollector) excess() []entry {
	all := c.Index.total()
	maxRecords, maxBytes := c.Max, c.MaxBytes
	if c.NearQuota != nil && c.NearQuota() { // evict a tenth of what is stored
		maxRecords, maxBytes = min(maxRecords, all.records-1), min(maxBytes, all.bytes-1)
	}
	var excess []entry
	if all.records > maxRecords {
		excess = evict(c.Index.deletable(), c.Index.usageByNamespace(), maxRecords*9/10,
			func(u usage) int64 { return u.records })
	}
	if all.bytes > maxBytes {
		excess = append(excess, evict(c.Index.deletable(), c.Index.usageByNamespace(), maxBytes/10*9,
			func(u usage) int64 { return u.bytes })...)
	}
	return excess
}

// usageByNamespace returns a copy of the usage of each namespace.
func (i *RecordIndex) usageByNamespace() map[string]usage {
	i.mu.Lock()
	defer i.mu.Unlock()
	return maps.Clone(i.namespaces)
}

// deleteAll deletes records, and returns how many it deleted and the first error. It ignores records that are already
// gone or pending again.
func (c *GarbageCollector) deleteAll(ctx context.Context, records []entry) (deleted int, err error) {
	done := make([]bool, len(records))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxConcurrentDeletes)
	for i, record := range records {
		group.Go(func() error {
			err := c.Records.Evict(ctx, &postern.WebhookDelivery{ObjectMeta: metav1.ObjectMeta{
				Namespace: record.Namespace, Name: record.Name, UID: record.uid}})
			done[i] = err == nil
			if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
				return nil
			}
			return err
		})
	}
	err = group.Wait()
	for _, ok := range done {
		if ok {
			deleted++
		}
	}
	return deleted, err
}

// runPeriodically calls fn at an interval until ctx is done. It logs an error once until the next success, since other
// components already log a storage outage.
func runPeriodically(ctx context.Context, interval time.Duration, message string, fn func(context.Context) error) {
	failed := false
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		err := fn(ctx)
		if err != nil && !failed && ctx.Err() == nil {
			klog.FromContext(ctx).Error(err, message)
		}
		failed = err != nil
	}, interval)
}

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
