// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package webhookdelivery

import (
	"slices"
	"sort"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/validation"
)

// largest returns the largest delivery that may be recorded, before it has a name.
func largest(t *testing.T) *postern.WebhookDelivery {
	t.Helper()
	d := applied()
	d.ObjectMeta = metav1.ObjectMeta{Namespace: d.Namespace, GenerateName: strings.Repeat("g", 200)}
	d.Status.Phase, d.Status.Reason = "", ""
	event := d.Spec.Events[0]
	event.Repository = strings.Repeat("r", 300)
	d.Spec.Events = slices.Repeat([]postern.DeliveryEvent{event}, 256)
	fill := func(n int) error {
		d.Annotations = map[string]string{"x": strings.Repeat("&", n)} // six bytes each in JSON
		return validation.CheckSize(d)
	}
	tooMuch := sort.Search(60<<10, func(n int) bool { return fill(n) != nil })
	if err := fill(tooMuch - 1); err != nil || tooMuch == 60<<10 {
		t.Fatalf("with %d bytes more: %v", tooMuch-1, err)
	}
	return d
}

// Targets are written before the delivery is recorded. If the record were rejected then, the write would have none.
func TestStore_CheckedSizeIsStorable(t *testing.T) {
	text := strings.Repeat("&", 1024) // the longest message
	for name, add := range map[string]func(*postern.WebhookDelivery){
		"while its target is written": func(d *postern.WebhookDelivery) { d.Status.Phase = postern.DeliveryPending },
		"if there is no target": func(d *postern.WebhookDelivery) {
			d.Status.Phase, d.Status.Reason, d.Status.Message = postern.DeliveryIgnored, "NoTarget", text
			d.Status.Conditions = append(d.Status.Conditions,
				metav1.Condition{Type: "Applied", Reason: "NoTarget", Message: text})
		},
		"with the results of its targets": func(d *postern.WebhookDelivery) {
			d.Status.Phase, d.Status.Reason, d.Status.Message = postern.DeliveryPending, "NotReached", text
			d.Status.Conditions = append(d.Status.Conditions,
				metav1.Condition{Type: "Applied", Reason: "NotReached", Message: text})
			for range 448 << 10 / (len(text) * 6) { // as many bytes of JSON as delivery lists
				d.Status.Targets = append(d.Status.Targets, postern.TargetResult{Message: text})
			}
			d.Status.Progress = &postern.DeliveryProgress{Except: []string{strings.Repeat("a", 32<<10)}}
		},
	} {
		d := largest(t)
		add(d)
		d.Name = strings.Repeat("n", 253)
		d.UID, d.CreationTimestamp = "9a6f0cbe-6d7c-4d2b-9a1d-111111111111", metav1.Now()
		if errs := newStrategy(newScheme()).Validate(t.Context(), d); len(errs) > 0 {
			t.Errorf("%s: the record was rejected: %v", name, errs)
		}
	}
}
