// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"postern.dev/postern/apis/postern"
)

const (
	backlogInterval = 2 * time.Second

	// backlogRetryAfterSeconds is when a sender may try again: what is Pending is tried again about as often.
	backlogRetryAfterSeconds = 15
)

// Backlog watches how many records are Pending, which nothing may delete.
type Backlog struct {
	// Records must be set before Start.
	Records Records
	// Max is how many may be Pending.
	Max int

	pending atomic.Int64
}

// Full returns an error that answers 429 while there are too many: one more could be stored, but not for ever. It is safe
// for concurrent use, also with Start.
func (b *Backlog) Full() error {
	if b.pending.Load() <= int64(b.Max) {
		return nil
	}
	return apierrors.NewTooManyRequests(
		fmt.Sprintf("more than %d deliveries wait until their targets can be written (--max-deliveries bounds them): send it again later", b.Max),
		backlogRetryAfterSeconds)
}

// NeedLeaderElection tells the manager that every replica, which takes deliveries, must know.
func (b *Backlog) NeedLeaderElection() bool { return false }

// Start works until ctx is done. It is a Runnable of controller-runtime's manager.
func (b *Backlog) Start(ctx context.Context) error {
	every(ctx, backlogInterval, "Could not count the stored deliveries", b.look)
	return nil
}

// look counts the records, and those that are Pending only if there are so many that it could matter.
func (b *Backlog) look(ctx context.Context) error {
	count, err := b.Records.Count(ctx)
	if err != nil {
		return err
	}
	storedDeliveries.Set(float64(count))
	if count <= int64(b.Max) {
		b.pending.Store(0)
		return nil
	}
	records, err := b.Records.List(ctx)
	if err != nil {
		return err
	}
	pending := int64(0)
	for i := range records {
		if records[i].Status.Phase == postern.DeliveryPending {
			pending++
		}
	}
	b.pending.Store(pending)
	return nil
}
