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
	// maxUnstored and maxUnstoredBytes bound how many statuses are kept that could not be stored, and the JSON of each. A
	// larger one is kept without its results.
	maxUnstored, maxUnstoredBytes = 1024, 16 << 10

	// firstUnknown ends the message of a record that was cut short and then did not end as Applied.
	firstUnknown = "; what the first try came to is not known, since it could not be stored"
)

// unstored are what deliveries were answered with that could not be stored, by UID of their records, which go on to
// say that they are under way. When they are taken up again in this process, they end as they were answered: what is
// decided anew by then, of a target that was changed or is not there any more, may be something else. It is safe for
// concurrent use.
type unstored struct{ statuses *lru.Cache }

func newUnstored() unstored { return unstored{lru.New(maxUnstored)} }

// note keeps the status of a delivery.
func (u unstored) note(delivery *postern.WebhookDelivery) {
	kept := delivery.DeepCopy()
	if encoded, err := json.Marshal(kept.Status.Targets); err != nil || len(encoded) > maxUnstoredBytes {
		if kept.Status.Phase == postern.DeliveryPending { // it can't go on without them
			return
		}
		withoutResults(kept)
	}
	if kept.UID != "" {
		u.statuses.Add(kept.UID, kept.Status)
	}
}

// of returns the status that is kept of a delivery, which must not be modified, or nil.
func (u unstored) of(delivery *postern.WebhookDelivery) *postern.WebhookDeliveryStatus {
	kept, found := u.statuses.Get(delivery.UID)
	if !found {
		return nil
	}
	status := kept.(postern.WebhookDeliveryStatus)
	return &status
}

// forget drops the status of a delivery, which is stored now.
func (u unstored) forget(delivery *postern.WebhookDelivery) { u.statuses.Remove(delivery.UID) }

// mayEndAs reports whether a record may be made to say what its delivery was answered with: nothing else was said of it
// since, or that it is pending while it has come to an end.
func mayEndAs(record *postern.WebhookDelivery, status *postern.WebhookDeliveryStatus) bool {
	return record.Status.Phase == postern.DeliveryPending &&
		(!Attempted(record) || status.Phase != postern.DeliveryPending)
}

// endAs makes a record say what its delivery was answered with.
func endAs(record *postern.WebhookDelivery, status *postern.WebhookDeliveryStatus) {
	repeats := record.Status.Repeats
	status.DeepCopyInto(&record.Status)
	record.Status.Repeats = repeats
}

// sayThatFirstIsUnknown makes a record that was cut short say, unless what it asks for is at its target, that it may
// have been answered with something else.
func sayThatFirstIsUnknown(delivery *postern.WebhookDelivery) {
	status := &delivery.Status
	if status.Phase == postern.DeliveryApplied {
		return
	}
	status.Message += firstUnknown
	if applied := meta.FindStatusCondition(status.Conditions, postern.ConditionApplied); applied != nil {
		applied.Message = status.Message
	}
}

// isFirstUnknown reports whether what the first try of a pending delivery came to is not known. The message that says
// so is cut off.
func isFirstUnknown(delivery *postern.WebhookDelivery) (unknown bool) {
	delivery.Status.Message, unknown = strings.CutSuffix(delivery.Status.Message, firstUnknown)
	return unknown || !Attempted(delivery)
}
