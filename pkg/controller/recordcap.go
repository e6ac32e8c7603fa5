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
	"k8s.io/klog/v2"

	"postern.dev/postern/apis/postern"
)

const (
	// recordCapInterval bounds how far a flood can overshoot the maximum, to what is recorded meanwhile.
	recordCapInterval = time.Second

	// deletionsAtATime share each other's fsync in etcd. One after the other they could not keep up with a flood.
	deletionsAtATime = 16
)

// Records are the stored deliveries. Its methods are safe for concurrent use.
type Records interface {
	// Delete deletes a record unless it has changed since it was read.
	Delete(ctx context.Context, record *postern.WebhookDelivery) error
}

// RecordCap deletes the oldest records when there are too many, or they take too many bytes, before their time to live
// is over. The namespace that holds most gives way first. Records that are Pending stay: what was answered 2xx is not
// lost.
type RecordCap struct {
	Records Records
	// Ledger knows what there is.
	Ledger *Ledger
	// Max is how many records may be stored, and MaxBytes how many bytes of JSON they may take; a tenth less is left, so
	// that there is not always one too many.
	Max, MaxBytes int64
	// Crowded reports whether the storage itself is short of room, and then neither counts for anything. It may be nil.
	Crowded func() bool
}

// Start works until ctx is done. It is a Runnable of controller-runtime's manager.
func (c *RecordCap) Start(ctx context.Context) error {
	every(ctx, recordCapInterval, "Could not delete the oldest deliveries, of which there are too many", c.trim)
	return nil
}

func (c *RecordCap) trim(ctx context.Context) error {
	excess := c.excess()
	if len(excess) == 0 {
		return nil
	}
	before := c.Ledger.total()
	deleted, err := c.deleteAll(ctx, excess)
	klog.FromContext(ctx).Info("Deleted the oldest deliveries, of which there were too many",
		"deleted", deleted, "stored", before.records, "max", c.Max, "bytes", before.bytes, "maxBytes", c.MaxBytes)
	return err
}

// excess returns the records to delete.
func (c *RecordCap) excess() []entry {
	all := c.Ledger.total()
	maxRecords, maxBytes := c.Max, c.MaxBytes
	if c.Crowded != nil && c.Crowded() { // of whatever there is
		maxRecords, maxBytes = min(maxRecords, all.records-1), min(maxBytes, all.bytes-1)
	}
	var excess []entry
	if all.records > maxRecords {
		excess = evict(c.Ledger.finished(), c.Ledger.holdings(), maxRecords*9/10, func(h holding) int64 { return h.records })
	}
	if all.bytes > maxBytes {
		excess = append(excess, evict(c.Ledger.finished(), c.Ledger.holdings(), maxBytes/10*9, func(h holding) int64 { return h.bytes })...)
	}
	return excess
}

// holdings returns what each namespace holds.
func (l *Ledger) holdings() map[string]holding {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.namespaces)
}

// deleteAll deletes these records and returns how many of them it has deleted, with the first error. What is gone or
// was changed meanwhile is left to the next time.
func (c *RecordCap) deleteAll(ctx context.Context, records []entry) (deleted int, err error) {
	done := make([]bool, len(records))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(deletionsAtATime)
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
