// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"encoding/json"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/lru"

	"postern.dev/postern/apis/postern"
)

const (
	// maxUnstored bounds how many statuses are kept that could not be stored, and maxUnstoredBytes the JSON of each. A
	// larger one is kept without its results.
	maxUnstored, maxUnstoredBytes = 1024, 16 << 10

	// firstUnknown ends the message of a record whose first attempt was interrupted and that is not Applied.
	firstUnknown = "; the outcome of the first attempt is unknown, because it could not be stored"
)

// unstored keeps, by the UID of their records, the answers to deliveries whose final status could not be stored. If
// this process resumes one of them, it stores the status that was answered: a new decision may differ, for example if
// the target was changed or deleted. It is safe for concurrent use.
type unstored struct{ statuses *lru.Cache }

func newUnstored() unstored { return unstored{lru.New(maxUnstored)} }

// note keeps the status of a delivery.
func (u unstored) note(delivery *postern.WebhookDelivery) {
	kept := delivery.DeepCopy()
	if encoded, err := json.Marshal(kept.Status.Targets); err != nil || len(encoded) > maxUnstoredBytes {
		if kept.Status.Phase == postern.DeliveryPending { // it can't be resumed without its results
			return
		}
		withoutResults(kept)
	}
	if kept.UID != "" {
		u.statuses.Add(kept.UID, kept.Status)
	}
}

// of returns the kept status of a delivery, which the caller must not modify, or nil.
func (u unstored) of(delivery *postern.WebhookDelivery) *postern.WebhookDeliveryStatus {
	kept, found := u.statuses.Get(delivery.UID)
	if !found {
		return nil
	}
	status := kept.(postern.WebhookDeliveryStatus)
	return &status
}

// forget drops the status of a delivery once it is stored.
func (u unstored) forget(delivery *postern.WebhookDelivery) { u.statuses.Remove(delivery.UID) }

// mayReplaceStatus reports whether the status that was answered may replace the status of a record: the record is
// pending, and either its first attempt is not over or the answer is final.
func mayReplaceStatus(record *postern.WebhookDelivery, status *postern.WebhookDeliveryStatus) bool {
	return record.Status.Phase == postern.DeliveryPending &&
		(!Attempted(record) || status.Phase != postern.DeliveryPending)
}

// replaceStatus sets the status that was answered in a record. It keeps the repeats.
func replaceStatus(record *postern.WebhookDelivery, status *postern.WebhookDeliveryStatus) {
	repeats := record.Status.Repeats
	status.DeepCopyInto(&record.Status)
	record.Status.Repeats = repeats
}

// addFirstUnknown adds to the message of a delivery that is not Applied that its answer may have been different.
func addFirstUnknown(delivery *postern.WebhookDelivery) {
	status := &delivery.Status
	if status.Phase == postern.DeliveryApplied {
		return
	}
	status.Message += firstUnknown
	if applied := meta.FindStatusCondition(status.Conditions, postern.ConditionApplied); applied != nil {
		applied.Message = status.Message
	}
}

// cutFirstUnknown reports whether the outcome of the first attempt at a pending delivery is unknown. It removes the
// text that says so from the message.
func cutFirstUnknown(delivery *postern.WebhookDelivery) (unknown bool) {
	delivery.Status.Message, unknown = strings.CutSuffix(delivery.Status.Message, firstUnknown)
	return unknown || !Attempted(delivery)
}
