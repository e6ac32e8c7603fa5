// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"fmt"
	"strings"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/target"
)

// The kube-apiserver pays for an Event as for any other write, so under load only some of what went well is told by one;
// the records tell all of it.
const (
	goodNewsPerSecond, goodNewsAtOnce = 5, 100
	badNewsPerSecond, badNewsAtOnce   = 20, 500
)

// news limits how many Kubernetes Events are made.
type news struct{ good, bad *rate.Limiter }

func newNews() news {
	return news{good: rate.NewLimiter(goodNewsPerSecond, goodNewsAtOnce), bad: rate.NewLimiter(badNewsPerSecond, badNewsAtOnce)}
}

// report tells, as a Kubernetes Event, whoever looks at a target what a delivery did to it.
func (d *Deliverer) report(delivery *postern.WebhookDelivery, results []postern.TargetResult) {
	for _, result := range results {
		switch {
		case result.Result == postern.TargetWritten && d.news.good.Allow():
			d.reportOne(delivery, result, corev1.EventTypeNormal, "RefRequested")
		case result.Result == postern.TargetFailed && d.news.bad.Allow():
			d.reportOne(delivery, result, corev1.EventTypeWarning, "RefRequestFailed")
		}
	}
}

func (d *Deliverer) reportOne(delivery *postern.WebhookDelivery, result postern.TargetResult, eventType, reason string) {
	kind := target.Kind(result.Kind)
	// kubectl describe finds Events by the UID.
	regarding := &corev1.ObjectReference{
		APIVersion: kind.APIVersion(), Kind: string(kind), Namespace: delivery.Namespace, Name: result.Name, UID: result.UID,
	}
	// Events that differ in nothing but the note are counted as one. The delivery tells them apart.
	related := &corev1.ObjectReference{
		APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "WebhookDelivery",
		Namespace: delivery.Namespace, Name: delivery.Name, UID: delivery.UID,
	}
	note := fmt.Sprintf("%s asked for %q: %s", delivery.Spec.Source, result.Ref, result.Message)
	d.Events.Eventf(regarding, related, eventType, reason, "Deliver", "%s", shorten(note, maxNoteBytes))
}

// maxNoteBytes is the longest note that the API server takes; an Event with a longer one would be lost.
// Source: NoteLengthLimit in k8s.io/kubernetes, pkg/apis/core/validation/events.go.
const maxNoteBytes = 1024

// shorten cuts a text to so many bytes, and shows that it did.
func shorten(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	const ellipsis = "…"
	return strings.ToValidUTF8(text[:limit-len(ellipsis)], "") + ellipsis
}
