// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// targetEvents waits until there are want Kubernetes Events about an object, and fails the test if there are more. They
// are ordered by name, that is by time.
func (w *world) targetEvents(name string, want int) []eventsv1.Event {
	w.T.Helper()
	var events []eventsv1.Event
	w.eventually(func() error {
		list, err := w.Kube.EventsV1().Events(w.Namespace).List(w.T.Context(),
			metav1.ListOptions{FieldSelector: "regarding.name=" + name})
		if err != nil {
			return err
		}
		if events = list.Items; len(events) < want {
			return fmt.Errorf("there are %d Events about %s, want %d", len(events), name, want)
		}
		return nil
	})
	if len(events) > want {
		w.T.Fatalf("there are %d Events about %s, want %d: %v", len(events), name, want, events)
	}
	return events
}

func TestEvents_NameRequestedRef(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	d := w.deliver(delivery("release", toWeb+", ref: v1"))

	event := w.targetEvents("web", 1)[0]

	type summary struct{ Type, Reason, Action, Note, Reporter string }
	wantSummary := summary{"Normal", "RefRequested", "Deliver",
		`generic requested "v1": stoker.io/requested-ref set to "v1"`, "postern"}
	gotSummary := summary{event.Type, event.Reason, event.Action, event.Note, event.ReportingController}
	if diff := cmp.Diff(wantSummary, gotSummary); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	wantRegarding := corev1.ObjectReference{APIVersion: "stoker.io/v1alpha1", Kind: "GatewaySync",
		Namespace: w.Namespace, Name: "web", UID: w.Get(gatewaySyncs, "web").GetUID()}
	if diff := cmp.Diff(wantRegarding, event.Regarding); diff != "" {
		t.Errorf("regarding (-want +got):\n%s", diff)
	}
	wantRelated := &corev1.ObjectReference{
		APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "WebhookDelivery", Namespace: w.Namespace,
		Name: "release", UID: d.UID,
	}
	if diff := cmp.Diff(wantRelated, event.Related); diff != "" {
		t.Errorf("related (-want +got):\n%s", diff)
	}
}

func TestEvents_OnlyForChanges(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	for name, spec := range map[string]string{"first": "ref: v1", "same": "ref: v1", "ping": "payload: " + ping} {
		w.deliver(delivery(name, toWeb+", "+spec))
	}
	w.deliver(delivery("other", toWeb+", ref: v2"))
	w.targetEvents("web", 2)
}
