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
	// statusTimeout bounds the storing of a final status, or of what else came of a try, and closeTryTimeout one try of it.
	statusTimeout   = 15 * time.Second
	closeTryTimeout = statusTimeout / 3
	// maxStatusUpdates bounds how many final statuses are being stored at once. etcd commits those together.
	maxStatusUpdates = 64
)

// closeBackoff is how long to wait between tries to store a final status, some 13 seconds in all.
var closeBackoff = wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.1, Steps: 8}

// storeFinalStatusAsync stores the final status after the answer. If too many are being stored the answer waits, so that no more
// comes in than goes out.
func (d *Deliverer) storeFinalStatusAsync(ctx context.Context, delivery *postern.WebhookDelivery) {
	ctx, final := context.WithoutCancel(ctx), delivery.DeepCopy()
	d.inFlight.retain(final)
	store := func() error {
		defer d.inFlight.release(final)
		d.storeFinalStatus(ctx, final)
		return nil
	}
	if !d.statusUpdates.TryGo(store) {
		_ = store()
	}
}

// storeFinalStatus stores the final status. If it can't be, the record goes on to say Pending, and whoever takes the delivery up
// again stores what is kept here, or in another process tries it again, which changes nothing at a target that has
// it.
func (d *Deliverer) storeFinalStatus(ctx context.Context, delivery *postern.WebhookDelivery) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	var err error
	_ = wait.ExponentialBackoffWithContext(ctx, closeBackoff, func(ctx context.Context) (done bool, _ error) {
		err = d.tryClose(ctx, delivery)
		return err == nil || apierrors.IsNotFound(err) || apierrors.IsInvalid(err) || isTooLarge(err), nil
	})
	if err == nil || apierrors.IsNotFound(err) { // deleted meanwhile
		return
	}
	if !apierrors.IsInvalid(err) && !isTooLarge(err) { // which no other try would store; it is decided anew
		d.unstored.note(delivery)
	}
	klog.FromContext(ctx).Error(err, "Could not store the final status of a delivery", "delivery", klog.KObj(delivery))
}

// tryClose stores the final status, over what another may have stored meanwhile unless that is final.
func (d *Deliverer) tryClose(ctx context.Context, delivery *postern.WebhookDelivery) error {
	ctx, cancel := context.WithTimeout(ctx, closeTryTimeout)
	defer cancel()
	_, err := d.storeStatus(ctx, delivery)
	if !apierrors.IsConflict(err) {
		return err
	}
	record, err := d.Records.Get(ctx, delivery.Namespace, delivery.Name)
	if err != nil {
		return err
	}
	if record.UID != delivery.UID || !mayEndAs(record, &delivery.Status) {
		return nil
	}
	endAs(record, &delivery.Status)
	_, err = d.storeStatus(ctx, record)
	return err
}

// Drain returns when every final status, and what was counted of repeats, is stored, or could not be. Call it when no
// delivery comes in any more.
func (d *Deliverer) Drain() {
	_ = d.statusUpdates.Wait()
	d.repeats.close(context.Background())
}
