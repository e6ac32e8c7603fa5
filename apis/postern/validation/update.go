// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"postern.dev/postern/apis/postern"
)

// ValidateUpdate checks a record that a client updates: only its metadata may change.
func ValidateUpdate(updated, old *postern.WebhookDelivery) field.ErrorList {
	errs := ValidateUnchanged(updated, old)
	errs = append(errs, validateMetadata(updated)...)
	// validateMetadata has checked the others.
	system := updated.ObjectMeta
	system.Labels, system.Annotations, system.OwnerReferences = nil, nil, nil
	errs = append(errs, validation.ValidateObjectMetaUpdate(&system, &old.ObjectMeta, metadataPath)...)
	return append(errs, validateGrowth(updated, old)...)
}

// ValidateUnchanged checks that an update changes neither spec nor status.
func ValidateUnchanged(updated, old *postern.WebhookDelivery) field.ErrorList {
	var errs field.ErrorList
	if !equality.Semantic.DeepEqual(updated.Spec, old.Spec) {
		errs = append(errs, field.Forbidden(specPath,
			"is immutable: create another delivery, or POST to the redeliver subresource of this one"))
	}
	if !equality.Semantic.DeepEqual(updated.Status, old.Status) {
		errs = append(errs, field.Forbidden(field.NewPath("status"), "only the server sets it"))
	}
	return errs
}

// maxUnfinishedMetadataBytes bounds the metadata of a pending or held record, with managedFields, once a client has
// grown it. These records can't be deleted to make room, and only their size at creation counts against the namespace's
// share before they are stored.
const maxUnfinishedMetadataBytes = 4 << 10

func isUnfinished(d *postern.WebhookDelivery) bool {
	return d.Status.Phase == postern.DeliveryPending || d.Status.Phase == postern.DeliveryHeld
}

// validateGrowth rejects metadata that would leave no room in a record for the outcome, or for the pending records of
// others. Metadata that shrinks is accepted in any case.
func validateGrowth(updated, old *postern.WebhookDelivery) field.ErrorList {
	size, err := EncodedBytes(updated)
	if err != nil {
		return field.ErrorList{field.InternalError(metadataPath, err)}
	}
	before, err := EncodedBytes(old)
	if err == nil && size <= before {
		return nil
	}
	requested, err := EncodedBytes(&postern.WebhookDelivery{ObjectMeta: updated.ObjectMeta, Spec: updated.Spec})
	if err != nil {
		return field.ErrorList{field.InternalError(metadataPath, err)}
	}
	metadata, err := EncodedBytes(&postern.WebhookDelivery{ObjectMeta: updated.ObjectMeta})
	switch {
	case err != nil:
		return field.ErrorList{field.InternalError(metadataPath, err)}
	case isUnfinished(updated) && metadata > maxUnfinishedMetadataBytes:
		return field.ErrorList{field.Forbidden(metadataPath, fmt.Sprintf(
			"may take at most %d bytes of JSON, with managedFields, while the delivery is pending or held: change "+
				"it later",
			maxUnfinishedMetadataBytes))}
	case requested > MaxRecordBytes-roomToRecord:
		return field.ErrorList{field.TooLong(metadataPath, "", MaxRecordBytes-roomToRecord)}
	case size > MaxFinalBytes:
		return field.ErrorList{field.TooLong(metadataPath, "", MaxFinalBytes)}
	}
	return nil
}
