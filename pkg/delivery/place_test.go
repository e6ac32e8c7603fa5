// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
)

// Or a target that was written for one event would take another of the same delivery, tried again, for written.
func TestEventsOfOneDeliveryAreToldApartByTheirPlace(t *testing.T) {
	received := time.Date(2026, 3, 1, 12, 0, 0, 5000, time.UTC)
	image := func(tag string) postern.DeliveryEvent {
		return postern.DeliveryEvent{Ref: tag, Image: &postern.ImageReference{Host: "quay.io", Repository: "acme/shop", Tag: tag}}
	}
	delivery := &postern.WebhookDelivery{
		Spec:   postern.WebhookDeliverySpec{Events: []postern.DeliveryEvent{{Ref: "v1"}, image("a"), {Ref: "v2"}, image("b")}},
		Status: postern.WebhookDeliveryStatus{ReceivedTime: &metav1.MicroTime{Time: received}},
	}
	got := map[string]time.Time{}
	for _, task := range timed(delivery, tasksAt(target.Key{}, delivery.Spec.Events)) {
		got[task.event.Ref] = task.request(received).Received
	}
	want := map[string]time.Time{"a": received.Add(1), "v2": received.Add(2), "b": received.Add(3)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("received (-want +got):\n%s", diff)
	}
}
