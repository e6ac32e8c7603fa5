// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"encoding/json"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/v1alpha1"
)

// The size of a record is the length of its JSON as stored, in which one byte of text may take six. etcd accepts
// requests of up to 1.5 MiB by default, and a record takes memory until it is deleted.
const (
	// MaxRecordBytes bounds a record without its outcome.
	MaxRecordBytes = 256 << 10
	// roomToRecord is the part of MaxRecordBytes that is left for data added between CheckSize and the storage: name,
	// UID and creation timestamp and, if nothing is written, a reason with a message of up to 1 KiB, twice and escaped
	// as JSON.
	roomToRecord = 16 << 10
	// MaxFinalBytes bounds a record with its outcome.
	MaxFinalBytes = MaxRecordBytes + 512<<10
)

// StoredManagedFields returns the managed fields that a record keeps: all if a client has applied the object with
// server-side apply, otherwise none. Without them the first apply finds its changes as well.
func StoredManagedFields(entries []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	applied := func(e metav1.ManagedFieldsEntry) bool { return e.Operation == metav1.ManagedFieldsOperationApply }
	if slices.ContainsFunc(entries, applied) {
		return entries
	}
	return nil
}

// EncodedBytes returns the size of a record as stored, in bytes. It returns an error if the record can't be encoded.
func EncodedBytes(d *postern.WebhookDelivery) (int, error) {
	kept := *d
	kept.ManagedFields = StoredManagedFields(d.ManagedFields)
	stored := v1alpha1.WebhookDelivery{}
	if err := v1alpha1.Convert_postern_WebhookDelivery_To_v1alpha1_WebhookDelivery(&kept, &stored, nil); err != nil {
		return 0, fmt.Errorf("could not convert a delivery: %w", err)
	}
	stored.SetGroupVersionKind(v1alpha1.SchemeGroupVersion.WithKind("WebhookDelivery"))
	var size counter
	if err := json.NewEncoder(&size).Encode(&stored); err != nil {
		return 0, fmt.Errorf("could not encode a delivery: %w", err)
	}
	return int(size), nil
}

// counter counts the bytes that are written to it.
type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// CheckSize returns a 413 API error if the record of a delivery would be too large. A delivery that passes is not
// rejected for its size when it is recorded, after its targets were written.
func CheckSize(d *postern.WebhookDelivery) error {
	size, err := EncodedBytes(d)
	switch {
	case err != nil:
		return apierrors.NewInternalError(err)
	case size > MaxRecordBytes-roomToRecord:
		return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf(
			"the record of the delivery would take %d bytes of JSON, and may take %d: request fewer refs at once, or "+
				"omit annotations and labels",
			size, MaxRecordBytes-roomToRecord))
	}
	return nil
}
