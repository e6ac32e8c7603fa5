// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/klog/v2"

	"postern.dev/postern/apis/postern"
)

const (
	// closeTimeout bounds the storing of a final status, or of what else came of a try.
	closeTimeout = 15 * time.Second
	// maxClosings bounds how many final statuses are being stored at once. etcd commits those together.
	maxClosings = 64
)

// closeLater stores the final status after the answer. If too many are being stored the answer waits, so that no more
// comes in than goes out.
func (d *Deliverer) closeLater(ctx context.Context, delivery *postern.WebhookDelivery) {
	ctx, final := context.WithoutCancel(ctx), delivery.DeepCopy()
	store := func() error {
		d.close(ctx, final)
		return nil
	}
	if !d.closings.TryGo(store) {
		_ = store()
	}
}

// close stores the final status. If it can't be, the record goes on to say Pending, and the delivery is tried again,
// which changes nothing at a target that has it.
func (d *Deliverer) close(ctx context.Context, delivery *postern.WebhookDelivery) {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	switch _, err := d.Records.UpdateStatus(ctx, delivery); {
	case err == nil, apierrors.IsNotFound(err), apierrors.IsConflict(err): // deleted, or stored by a retry, meanwhile
	default:
		klog.FromContext(ctx).Error(err, "Could not store the final status of a delivery", "delivery", klog.KObj(delivery))
	}
}

// Drain returns when every final status is stored, or could not be. Call it when no delivery comes in any more.
func (d *Deliverer) Drain() { _ = d.closings.Wait() }
