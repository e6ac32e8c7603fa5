// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/klog/v2"

	"postern.dev/postern/apis/postern"
)

const (
	// recordCapInterval bounds how far a flood can overshoot the maximum, to what is recorded meanwhile.
	recordCapInterval = 5 * time.Second

	// deletionsAtATime share each other's fsync in etcd. One after the other they could not keep up with a flood.
	deletionsAtATime = 16
)

// Records are the stored deliveries. Its methods are safe for concurrent use.
type Records interface {
	// Count returns how many there are, more cheaply than List.
	Count(ctx context.Context) (int64, error)
	// List returns all of them. They are shared, and must not be changed.
	List(ctx context.Context) ([]postern.WebhookDelivery, error)
	// Delete deletes a record unless it has changed since it was listed.
	Delete(ctx context.Context, record *postern.WebhookDelivery) error
}

// RecordCap deletes the oldest records when there are too many, before their time to live is over. Records that are
// Pending stay: what was answered 2xx is not lost.
type RecordCap struct {
	Records Records
	// Max is how many records may be stored; a tenth less is left, so that there is not always one too many.
	Max int
	// Crowded reports whether the storage itself is short of room, and then Max counts for nothing. It may be nil.
	Crowded func() bool
}

// Start works until ctx is done. It is a Runnable of controller-runtime's manager.
func (c *RecordCap) Start(ctx context.Context) error {
	every(ctx, recordCapInterval, "Could not delete the oldest deliveries, of which there are too many", c.trim)
	return nil
}

func (c *RecordCap) trim(ctx context.Context) error {
	count, err := c.Records.Count(ctx)
	if err != nil {
		return err
	}
	allowed := int64(c.Max)
	if c.Crowded != nil && c.Crowded() {
		allowed = min(allowed, count-1)
	}
	if count <= allowed {
		return nil
	}
	records, err := c.Records.List(ctx)
	if err != nil {
		return err
	}
	excess := oldestFinished(records, len(records)-int(allowed)*9/10)
	deleted, err := c.deleteAll(ctx, excess)
	klog.FromContext(ctx).Info("Deleted the oldest deliveries, of which there were too many",
		"deleted", deleted, "stored", len(records), "max", c.Max)
	return err
}

// oldestFinished returns the n oldest records on which there is nothing left to do, or all of them if there are fewer.
func oldestFinished(records []postern.WebhookDelivery, n int) []*postern.WebhookDelivery {
	finished := make([]*postern.WebhookDelivery, 0, len(records))
	for i := range records {
		if records[i].Status.Phase != postern.DeliveryPending {
			finished = append(finished, &records[i])
		}
	}
	slices.SortFunc(finished, byAge)
	return finished[:max(0, min(n, len(finished)))]
}

// byAge sorts the oldest first. Times of creation are whole seconds, those of receipt are not.
func byAge(a, b *postern.WebhookDelivery) int {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), receivedAt(a).Compare(receivedAt(b)), cmp.Compare(a.UID, b.UID))
}

// deleteAll deletes these records and returns how many of them it has deleted, with the first error. What is gone or was
// changed meanwhile is left to the next time.
func (c *RecordCap) deleteAll(ctx context.Context, records []*postern.WebhookDelivery) (deleted int, err error) {
	done := make([]bool, len(records))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(deletionsAtATime)
	for i, record := range records {
		group.Go(func() error {
			err := c.Records.Delete(ctx, record)
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
