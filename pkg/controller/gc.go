// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"maps"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"

	"postern.dev/postern/apis/postern"
)

const (
	// gcInterval bounds how far a flood can overshoot the maximum, to what is recorded meanwhile.
	gcInterval = time.Second

	// maxConcurrentDeletes share each other's fsync in etcd. One after the other they could not keep up with a flood.
	maxConcurrentDeletes = 16
)

// RecordDeleter are the stored deliveries. Its methods are safe for concurrent use.
type RecordDeleter interface {
	// Delete deletes a record unless it has changed since it was read.
	Delete(ctx context.Context, record *postern.WebhookDelivery) error
}

// GarbageCollector deletes the oldest records when there are too many, or they take too many bytes, before their time to live
// is over. The namespace that holds most gives way first. Records that are Pending stay: what was answered 2xx is not
// lost.
type GarbageCollector struct {
	Records RecordDeleter
	// Index knows what there is.
	Index *RecordIndex
	// Max is how many records may be stored, and MaxBytes how many bytes of JSON they may take; a tenth less is left, so
	// that there is not always one too many.
	Max, MaxBytes int64
	// NearQuota reports whether the storage itself is short of room, and then neither counts for anything. It may be nil.
	NearQuota func() bool
}

// Start works until ctx is done. It is a Runnable of controller-runtime's manager.
func (c *GarbageCollector) Start(ctx context.Context) error {
	runPeriodically(ctx, gcInterval, "Could not delete the oldest deliveries, of which there are too many", c.collect)
	return nil
}

func (c *GarbageCollector) collect(ctx context.Context) error {
	excess := c.excess()
	if len(excess) == 0 {
		return nil
	}
	before := c.Index.total()
	deleted, err := c.deleteAll(ctx, excess)
	klog.FromContext(ctx).Info("Deleted the oldest deliveries, of which there were too many",
		"deleted", deleted, "stored", before.records, "max", c.Max, "bytes", before.bytes, "maxBytes", c.MaxBytes)
	return err
}

// excess returns the records to delete.
func (c *GarbageCollector) excess() []entry {
	all := c.Index.total()
	maxRecords, maxBytes := c.Max, c.MaxBytes
	if c.NearQuota != nil && c.NearQuota() { // of whatever there is
		maxRecords, maxBytes = min(maxRecords, all.records-1), min(maxBytes, all.bytes-1)
	}
	var excess []entry
	if all.records > maxRecords {
		excess = evict(c.Index.deletable(), c.Index.usageByNamespace(), maxRecords*9/10, func(h usage) int64 { return h.records })
	}
	if all.bytes > maxBytes {
		excess = append(excess, evict(c.Index.deletable(), c.Index.usageByNamespace(), maxBytes/10*9, func(h usage) int64 { return h.bytes })...)
	}
	return excess
}

// usageByNamespace returns what each namespace holds.
func (i *RecordIndex) usageByNamespace() map[string]usage {
	i.mu.Lock()
	defer i.mu.Unlock()
	return maps.Clone(i.namespaces)
}

// deleteAll deletes these records and returns how many of them it has deleted, with the first error. What is gone or
// was changed meanwhile is left to the next time.
func (c *GarbageCollector) deleteAll(ctx context.Context, records []entry) (deleted int, err error) {
	done := make([]bool, len(records))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxConcurrentDeletes)
	for i, record := range records {
		group.Go(func() error {
			err := c.Records.Delete(ctx, &postern.WebhookDelivery{ObjectMeta: metav1.ObjectMeta{
				Namespace: record.Namespace, Name: record.Name, UID: record.uid, ResourceVersion: record.resourceVersion,
			}})
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

// runPeriodically does something again and again until ctx is done. That it fails is logged once until it works again: while the
// storage is away, that is said often enough elsewhere.
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
