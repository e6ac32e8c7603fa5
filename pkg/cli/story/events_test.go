// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package story

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubefake "k8s.io/client-go/kubernetes/fake"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
)

// Who may create Events can name any delivery in them, and write texts of any length.
func TestEventsOf_Bounded(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	var events []runtime.Object
	for i := range maxEvents + 20 {
		events = append(events, &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "demo", Name: fmt.Sprintf("plant.%03d", i), Annotations: map[string]string{"a": long},
			},
			Related:   &corev1.ObjectReference{Kind: "WebhookDelivery", Name: "one"},
			EventTime: metav1.NewMicroTime(time.Unix(int64(i), 0)),
			Reason:    long, Message: long, Type: long,
		})
	}
	cluster := &cli.Cluster{Kubernetes: kubefake.NewClientset(events...)}
	got := eventsOf(t.Context(), cluster, &v1alpha1.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "one"},
	})
	if len(got) != maxEvents || got[0].Name != "plant.020" {
		t.Fatalf("got %d events from %s on, want the newest %d", len(got), got[0].Name, maxEvents)
	}
	for _, event := range got {
		if event.Size() > 8<<10 {
			t.Fatalf("an event has %d bytes", event.Size())
		}
	}
}
