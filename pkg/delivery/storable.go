// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/klog/v2"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/validation"
)

// checkStorable returns an error, ready to be answered, for a delivery of which no record can ever be made. It comes
// before anything is written to a target, since a record is stored while that is done.
func checkStorable(d *postern.WebhookDelivery) error {
	if errs := validation.ValidateRecord(d); len(errs) > 0 {
		return invalid(d, errs)
	}
	return validation.CheckSize(d)
}

// invalid answers 422. It repeats the name of a delivery only if it is one.
func invalid(d *postern.WebhookDelivery, errs field.ErrorList) error {
	name := d.Name
	if slices.ContainsFunc(errs, func(err *field.Error) bool { return err.Field == "metadata.name" }) {
		name = ""
	}
	return apierrors.NewInvalid(postern.Kind("WebhookDelivery"), name, errs)
}

// storeStatus stores the status of a record, without results for which there is no room: what came of a delivery is
// stored in any case, or it would be tried again until the record expires. It returns the record as stored.
func (d *Deliverer) storeStatus(ctx context.Context, delivery *postern.WebhookDelivery) (*postern.WebhookDelivery, error) {
	stored, err := d.Records.UpdateStatus(ctx, fitSize(delivery, validation.MaxFinalBytes))
	// A record may be older than the bounds, or the etcd take less than it does by default.
	for _, cut := range []func(*postern.WebhookDelivery){withoutResults, withoutDetails, withoutAnnotations} {
		if !isTooLarge(err) {
			return stored, err
		}
		delivery = delivery.DeepCopy()
		cut(delivery)
		stored, err = d.Records.UpdateStatus(ctx, delivery)
		if err == nil {
			klog.FromContext(ctx).Info("Stored the status of a delivery in part, since the record is too large", "delivery", klog.KObj(delivery))
		}
	}
	return stored, err
}

func isTooLarge(err error) bool { return err != nil && apierrors.IsRequestEntityTooLargeError(err) }

// fitSize returns the delivery, or a copy with as many of its results, from the first on, as leave it below a size.
func fitSize(delivery *postern.WebhookDelivery, maxBytes int) *postern.WebhookDelivery {
	results := delivery.Status.Targets
	size, err := validation.EncodedBytes(delivery)
	if err != nil || size <= maxBytes || len(results) == 0 {
		return delivery
	}
	fitting := *delivery
	for len(results) > 0 && size > maxBytes {
		results = results[:len(results)/2]
		fitting.Status.Targets = results
		if size, err = validation.EncodedBytes(&fitting); err != nil {
			return delivery
		}
	}
	return &fitting
}

// withoutResults drops what came of the delivery at each target. The phase, which sums that up, stays.
func withoutResults(d *postern.WebhookDelivery) {
	d.Status.Targets = nil
	d.Status.Message = truncate(d.Status.Message, maxTextBytes/4)
}

// withoutDetails leaves the phase, and why.
func withoutDetails(d *postern.WebhookDelivery) {
	withoutResults(d)
	d.Status.Message, d.Status.Conditions = "", nil
}

// withoutAnnotations drops what is the client's own and that nothing here reads.
func withoutAnnotations(d *postern.WebhookDelivery) {
	withoutDetails(d)
	d.Annotations, d.Labels = nil, nil
}
