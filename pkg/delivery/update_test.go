// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
)

// pushRecord returns the record of the delivery of pushed.
func pushRecord() *postern.WebhookDelivery {
	d := objectToPlant(postern.WebhookDeliverySpec{
		Source: "github", Headers: map[string]string{"X-Github-Event": "push"},
		Events: []postern.DeliveryEvent{{Source: "github", Event: "push", Ref: "main"}},
	})
	d.Name, d.ResourceVersion = "push", "7"
	d.Status = postern.WebhookDeliveryStatus{Phase: postern.DeliveryApplied, Payload: digest(pushed)}
	return d
}

// Neither admission nor the storage may see payloads and credentials.
func TestReceiveUpdate_SameFileAgainChangesNothing(t *testing.T) {
	for name, change := range map[string]func(*postern.WebhookDeliverySpec){
		"payload":     func(s *postern.WebhookDeliverySpec) { s.Payload = &postern.JSON{Raw: []byte(pushed)} },
		"raw payload": func(s *postern.WebhookDeliverySpec) { s.RawPayload = []byte(pushed) },
		"headers": func(s *postern.WebhookDeliverySpec) {
			s.Headers = map[string]string{
				"X-Github-Event": "push", "x-github-event": "push", "X-Hub-Signature-256": sign([]byte(pushed)),
			}
		},
	} {
		updated := pushRecord()
		change(&updated.Spec)
		updated.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: pushed, "note": "mine"}
		if err := ReceiveUpdate(updated, pushRecord()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(pushRecord().Spec, updated.Spec); diff != "" {
			t.Errorf("%s: spec (-want +got):\n%s", name, diff)
		}
		if got := slices.Collect(maps.Keys(updated.Annotations)); !slices.Equal(got, []string{"note"}) {
			t.Errorf("%s: annotations %v", name, got)
		}
	}
}

func TestReceiveUpdate_KeepsAnnotationOfAppliedRef(t *testing.T) {
	old := objectToPlant(postern.WebhookDeliverySpec{Source: "generic", Ref: "v1"})
	updated := old.DeepCopy()
	updated.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: "{}"}
	if err := ReceiveUpdate(updated, old); err != nil || len(updated.Annotations) != 1 {
		t.Errorf("got annotations %v, %v", updated.Annotations, err)
	}
}

func TestReceiveUpdate_RefusesOtherSpecAndStatus(t *testing.T) {
	for name, change := range map[string]func(*postern.WebhookDelivery){
		"another payload": func(d *postern.WebhookDelivery) {
			d.Spec.Payload = &postern.JSON{Raw: []byte(released)}
		},
		"another raw payload": func(d *postern.WebhookDelivery) { d.Spec.RawPayload = []byte(released) },
		"another event":       func(d *postern.WebhookDelivery) { d.Spec.Headers["x-github-event"] = "release" },
		"no header":           func(d *postern.WebhookDelivery) { d.Spec.Headers = nil },
		"another ref":         func(d *postern.WebhookDelivery) { d.Spec.Events[0].Ref = "v2" },
		"a phase":             func(d *postern.WebhookDelivery) { d.Status.Phase = postern.DeliveryFailed },
	} {
		updated := pushRecord()
		change(updated)
		if err := ReceiveUpdate(updated, pushRecord()); !apierrors.IsInvalid(err) {
			t.Errorf("%s: got error %v, want 422", name, err)
		}
	}
}

// A finalizer keeps a record that was deleted to cancel its delivery.
func TestResume_DeletedIsNotWritten(t *testing.T) {
	p := newDefaultPipeline()
	d := toNamed(unfinished(at("plant", "Pending", "TargetUnavailable")))
	d.DeletionTimestamp = new(metav1.Now())
	if err := p.Resume(t.Context(), d, false); err != nil {
		t.Fatal(err)
	}
	if writes := writesIn(p.journal); len(writes) > 0 {
		t.Errorf("wrote %q", writes)
	}
	if d.Status.Phase != postern.DeliveryFailed || d.Status.Reason != ReasonDeleted {
		t.Errorf("got %s, %s", d.Status.Phase, d.Status.Reason)
	}
}
