// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package story

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/text"
)

// eventController is what reports the Events of the server.
const eventController = "postern"

const (
	// maxEventsRead bounds the Events of a namespace that are read, and eventsPage those in memory at a time.
	maxEventsRead = 2000
	eventsPage    = 100
	// maxEvents bounds the Events of a delivery, and maxEventText their texts, which others may have written.
	maxEvents    = 100
	maxEventText = 1024
)

// eventsOf returns the newest Events about the targets of a delivery, oldest first; nil if they can't be read.
func eventsOf(ctx context.Context, cluster *cli.Cluster, d *v1alpha1.WebhookDelivery) []corev1.Event {
	found := []corev1.Event{}
	options := metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("reportingComponent", eventController).String(), Limit: eventsPage,
	}
	for read := 0; read < maxEventsRead; {
		page, err := cluster.Kubernetes.CoreV1().Events(d.Namespace).List(ctx, options)
		if err != nil {
			return nil
		}
		for _, event := range page.Items {
			if isAbout(&event, d) {
				found = append(found, trimEvent(&event))
			}
		}
		read += len(page.Items)
		if options.Continue = page.Continue; options.Continue == "" {
			break
		}
	}
	slices.SortStableFunc(found, func(a, b corev1.Event) int { return EventTime(&a).Compare(EventTime(&b)) })
	return found[max(0, len(found)-maxEvents):]
}

// trimEvent returns what is shown of an Event.
func trimEvent(event *corev1.Event) corev1.Event {
	cut := func(s string) string { return text.Truncate(s, maxEventText) }
	about := event.InvolvedObject
	return corev1.Event{
		TypeMeta: event.TypeMeta,
		ObjectMeta: metav1.ObjectMeta{
			Namespace: event.Namespace, Name: event.Name, UID: event.UID, CreationTimestamp: event.CreationTimestamp,
		},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: cut(about.APIVersion), Kind: cut(about.Kind), Namespace: cut(about.Namespace),
			Name: cut(about.Name), UID: about.UID,
		},
		Type: cut(event.Type), Reason: cut(event.Reason), Message: cut(event.Message), Count: event.Count,
		FirstTimestamp: event.FirstTimestamp, LastTimestamp: event.LastTimestamp, EventTime: event.EventTime,
		Series: event.Series,
	}
}

// isAbout reports whether an Event is about a delivery, which it names besides the target.
func isAbout(event *corev1.Event, d *v1alpha1.WebhookDelivery) bool {
	related := event.Related
	return related != nil && related.Kind == "WebhookDelivery" && related.Name == d.Name &&
		(related.UID == "" || related.UID == d.UID)
}

// EventTime returns when an Event happened last.
func EventTime(event *corev1.Event) time.Time {
	switch {
	case event.Series != nil:
		return event.Series.LastObservedTime.Time
	case !event.EventTime.IsZero():
		return event.EventTime.Time
	}
	return event.LastTimestamp.Time
}
