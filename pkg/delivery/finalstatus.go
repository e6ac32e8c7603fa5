// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"

	"postern.dev/postern/apis/postern"
)

const (
	// statusTimeout bounds storing a final status or the outcome of a retry, and statusTryTimeout each attempt at it.
	statusTimeout    = 15 * time.Second
	statusTryTimeout = statusTimeout / 3
	// maxStatusUpdates bounds how many final statuses are stored concurrently. etcd commits them together.
	maxStatusUpdates = 64
)

// statusBackoff is the backoff between attempts to store a final status, some 13 seconds in total.
var statusBackoff = wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.1, Steps: 8}

// storeFinalStatusAsync stores the final status after the answer. With too many updates in flight it blocks, which
// delays the answer, so that deliveries do not arrive faster than their statuses are stored.
func (d *Deliverer) storeFinalStatusAsync(ctx context.Context, delivery *postern.WebhookDelivery) {
	ctx, final := context.WithoutCancel(ctx), delivery.DeepCopy()
	key := callKey(final)
	d.inFlight.retain(key)
	store := func() error {
		defer d.inFlight.release(key)
		d.storeFinalStatus(ctx, final)
		return nil
	}
	if !d.statusUpdates.TryGo(store) {
		_ = store()
	}
}

// storeFinalStatus stores the final status. If it fails, the record stays Pending, and the delivery is resumed. This
// process then stores the status that it keeps here. Another one retries the delivery, which does not change a target
// that already holds the ref.
func (d *Deliverer) storeFinalStatus(ctx context.Context, delivery *postern.WebhookDelivery) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	var err error
	_ = wait.ExponentialBackoffWithContext(ctx, statusBackoff, func(ctx context.Context) (done bool, _ error) {
		err = d.tryStoreFinalStatus(ctx, delivery)
		return err == nil || apierrors.IsNotFound(err) || apierrors.IsInvalid(err) || isTooLarge(err), nil
	})
	if err == nil || apierrors.IsNotFound(err) { // deleted concurrently
		return
	}
	if !apierrors.IsInvalid(err) && !isTooLarge(err) { // these can never be stored: the outcome is decided again
		d.unstored.note(delivery)
	}
	klog.FromContext(ctx).Error(err, "Could not store the final status of a delivery", "delivery", klog.KObj(delivery))
}

// tryStoreFinalStatus stores the final status. It overwrites a concurrent update unless that is final.
func (d *Deliverer) tryStoreFinalStatus(ctx context.Context, delivery *postern.WebhookDelivery) error {
	ctx, cancel := context.WithTimeout(ctx, statusTryTimeout)
	defer cancel()
	_, err := d.storeStatus(ctx, delivery)
	if !apierrors.IsConflict(err) {
		return err
	}
	record, err := d.Records.Get(ctx, delivery.Namespace, delivery.Name)
	if err != nil {
		return err
	}
	if record.UID != delivery.UID || !mayReplaceStatus(record, &delivery.Status) {
		return nil
	}
	replaceStatus(record, &delivery.Status)
	_, err = d.storeStatus(ctx, record)
	return err
}

// Drain waits until all final statuses and counts of repeats are stored or failed. Call it after the last delivery.
func (d *Deliverer) Drain() {
	_ = d.statusUpdates.Wait()
	d.repeats.close(context.Background())
}
