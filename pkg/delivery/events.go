// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"fmt"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/target"
	"postern.dev/postern/pkg/text"
)

// An Event costs the kube-apiserver as much as any other write, so under load only some successes get one. The records
// list all of them.
const (
	normalEventsPerSecond, normalEventsBurst   = 5, 100
	warningEventsPerSecond, warningEventsBurst = 20, 500
)

// eventLimiter limits the rate of Kubernetes Events.
type eventLimiter struct{ normal, warning *rate.Limiter }

func newEventLimiter() eventLimiter {
	return eventLimiter{
		normal:  rate.NewLimiter(normalEventsPerSecond, normalEventsBurst),
		warning: rate.NewLimiter(warningEventsPerSecond, warningEventsBurst),
	}
}

// recordEvents sends a Kubernetes Event about each target that was written or failed.
func (d *Deliverer) recordEvents(delivery *postern.WebhookDelivery, results []postern.TargetResult) {
	for _, result := range results {
		switch {
		case result.Result == postern.TargetWritten && d.eventLimiter.normal.Allow():
			d.recordEvent(delivery, result, corev1.EventTypeNormal, "RefRequested")
		case result.Result == postern.TargetFailed && d.eventLimiter.warning.Allow():
			d.recordEvent(delivery, result, corev1.EventTypeWarning, "RefRequestFailed")
		}
	}
}

func (d *Deliverer) recordEvent(
	delivery *postern.WebhookDelivery, result postern.TargetResult, eventType, reason string,
) {
	kind := result.Kind
	// kubectl describe finds Events by the UID.
	regarding := &corev1.ObjectReference{
		APIVersion: target.APIVersion(kind), Kind: string(kind),
		Namespace: delivery.Namespace, Name: result.Name, UID: result.UID,
	}
	// Events that differ only in the note are counted as one. The delivery distinguishes them.
	related := &corev1.ObjectReference{
		APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "WebhookDelivery",
		Namespace: delivery.Namespace, Name: delivery.Name, UID: delivery.UID,
	}
	note := fmt.Sprintf("%s requested %q: %s", delivery.Spec.Source, result.Ref, result.Message)
	d.Events.Eventf(regarding, related, eventType, reason, "Deliver", "%s", text.Truncate(note, maxNoteBytes))
}

// maxNoteBytes is the longest note that the API server accepts; it would reject an Event with a longer one.
// Source: NoteLengthLimit in k8s.io/kubernetes, pkg/apis/core/validation/events.go.
const maxNoteBytes = 1024
