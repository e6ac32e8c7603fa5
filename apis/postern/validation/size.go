// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/v1alpha1"
)

// The size of a record is counted in bytes of the JSON that is stored, in which one byte of text may take six. etcd
// takes requests of up to 1.5 MiB by default, and a record costs memory for as long as it is kept.
const (
	// MaxRecordBytes bounds a record when it is made. It leaves room for what came of the delivery.
	MaxRecordBytes = 256 << 10
	// roomToRecord is how much of that is left for what is added between CheckSize and the storage: name, UID and time of
	// creation and, if nothing is written, a reason with a message of up to 1 KiB, twice and in bytes of JSON.
	roomToRecord = 16 << 10
	// MaxFinalBytes bounds a record with its final status.
	MaxFinalBytes = MaxRecordBytes + 512<<10
)

// EncodedBytes returns how many bytes a record takes as it is stored. Field owners do not count: they are not stored.
// The error is that of a record which can't be encoded.
func EncodedBytes(d *postern.WebhookDelivery) (int, error) {
	kept := *d
	kept.ManagedFields = nil
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

// Write counts, and never fails.
func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// CheckSize returns an error, ready to be answered, for a delivery whose record would be too large to be made. What
// passes is not refused for its size when it is stored, after its target was written.
func CheckSize(d *postern.WebhookDelivery) error {
	size, err := EncodedBytes(d)
	switch {
	case err != nil:
		return apierrors.NewInternalError(err)
	case size > MaxRecordBytes-roomToRecord:
		return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf(
			"the record of the delivery would take %d bytes of JSON, and may take %d: ask for fewer refs at once, or leave out annotations and labels",
			size, MaxRecordBytes-roomToRecord))
	}
	return nil
}
