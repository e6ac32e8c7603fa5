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
	"postern.dev/postern/pkg/text"
)

// checkStorable returns an error for the client if no record of a delivery can be stored. It is called before targets
// are written, which may happen concurrently with recording.
func checkStorable(d *postern.WebhookDelivery) error {
	if errs := validation.ValidateRecord(d); len(errs) > 0 {
		return invalid(d, errs)
	}
	return validation.CheckSize(d)
}

// invalid returns 422. It quotes the name of a delivery only if the name is valid.
func invalid(d *postern.WebhookDelivery, errs field.ErrorList) error {
	name := d.Name
	if slices.ContainsFunc(errs, func(err *field.Error) bool { return err.Field == "metadata.name" }) {
		name = ""
	}
	return apierrors.NewInvalid(postern.Kind("WebhookDelivery"), name, errs)
}

// storeStatus stores the status of a record, without the results that do not fit. The outcome must be stored in any
// case: otherwise the delivery would be retried until the record expires. It returns the record as stored.
func (d *Deliverer) storeStatus(
	ctx context.Context, delivery *postern.WebhookDelivery,
) (*postern.WebhookDelivery, error) {
	stored, err := d.Records.UpdateStatus(ctx, fitSize(delivery, validation.MaxFinalBytes))
	// A record may be older than the limits, or etcd's request limit lower than its default.
	for _, cut := range []func(*postern.WebhookDelivery){withoutResults, withoutDetails, withoutAnnotations} {
		if !isTooLarge(err) {
			return stored, err
		}
		delivery = delivery.DeepCopy()
		cut(delivery)
		stored, err = d.Records.UpdateStatus(ctx, delivery)
		if err == nil {
			klog.FromContext(ctx).Info("Stored the status of a delivery in part, since the record is too large",
				"delivery", klog.KObj(delivery))
		}
	}
	return stored, err
}

func isTooLarge(err error) bool { return err != nil && apierrors.IsRequestEntityTooLargeError(err) }

// fitSize returns the delivery, or a copy without its last results, so that its JSON has at most maxBytes if possible.
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

// withoutResults drops the results. The phase, which summarizes them, stays.
func withoutResults(d *postern.WebhookDelivery) {
	d.Status.Targets = nil
	d.Status.Message = text.Truncate(d.Status.Message, maxTextBytes/4)
}

// withoutDetails keeps only the phase and the reason.
func withoutDetails(d *postern.WebhookDelivery) {
	withoutResults(d)
	d.Status.Message, d.Status.Conditions = "", nil
}

// withoutAnnotations also drops the client's annotations and labels, which Postern does not read.
func withoutAnnotations(d *postern.WebhookDelivery) {
	withoutDetails(d)
	d.Annotations, d.Labels = nil, nil
}
