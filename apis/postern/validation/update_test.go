// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
)

// recorded returns a record as it is stored.
func recorded() *postern.WebhookDelivery {
	d := received()
	d.ResourceVersion, d.UID, d.CreationTimestamp = "7", "1", metav1.Unix(1_000_000, 0)
	d.Status.Phase = postern.DeliveryApplied
	return d
}

func TestValidateUpdate_MetadataOnly(t *testing.T) {
	for name, test := range map[string]rule{
		"nothing": {func(*postern.WebhookDelivery) {}, nil},
		"metadata": {
			func(d *postern.WebhookDelivery) {
				d.Labels, d.Annotations = map[string]string{"a": "b"}, map[string]string{"a": "b"}
				d.Finalizers = []string{"example.com/keep"}
				d.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "a", UID: "1"}}
			}, nil,
		},
		"a ref":    {func(d *postern.WebhookDelivery) { d.Spec.Ref = "v2" }, []string{"spec: Forbidden"}},
		"an event": {func(d *postern.WebhookDelivery) { d.Spec.Events[0].Ref = "v2" }, []string{"spec: Forbidden"}},
		"a payload": {func(d *postern.WebhookDelivery) { d.Spec.RawPayload = []byte("{}") },
			[]string{"spec: Forbidden"}},
		"the phase": {
			func(d *postern.WebhookDelivery) { d.Status.Phase = postern.DeliveryPending },
			[]string{"status: Forbidden"},
		},
		"the UID": {func(d *postern.WebhookDelivery) { d.UID = "2" }, []string{"metadata.uid: Invalid value"}},
		"many finalizers": {
			func(d *postern.WebhookDelivery) { d.Finalizers = make([]string, maxFinalizers+1) },
			[]string{"metadata.finalizers: Too many"},
		},
		"an invalid label": {
			func(d *postern.WebhookDelivery) { d.Labels = map[string]string{"a b": "c"} },
			[]string{"metadata.labels: Invalid value"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := recorded()
			test.change(d)
			check(t, ValidateUpdate(d, recorded()), test.want)
		})
	}
}

// Otherwise the outcome of a pending delivery could not be stored.
func TestValidateUpdate_LeavesRoomForOutcome(t *testing.T) {
	applied := func(d *postern.WebhookDelivery, bytes int) {
		d.ManagedFields = []metav1.ManagedFieldsEntry{{
			Operation: metav1.ManagedFieldsOperationApply,
			FieldsV1:  metav1.NewFieldsV1(`{"f:` + strings.Repeat("a", bytes) + `":{}}`),
		}}
	}
	wide := func(d *postern.WebhookDelivery) {
		for i := range 3000 {
			d.Status.Targets = append(d.Status.Targets,
				postern.TargetResult{Name: fmt.Sprint(i), Message: strings.Repeat("a", 200)})
		}
	}
	pending := func(d *postern.WebhookDelivery) { d.Status.Phase = postern.DeliveryPending }
	for name, test := range map[string]struct {
		old, change func(*postern.WebhookDelivery)
		want        []string
	}{
		"within": {func(*postern.WebhookDelivery) {}, func(d *postern.WebhookDelivery) { applied(d, 200<<10) }, nil},
		"too much": {
			func(*postern.WebhookDelivery) {}, func(d *postern.WebhookDelivery) { applied(d, 250<<10) },
			[]string{"metadata: Too long"},
		},
		"with a large status": {
			wide, func(d *postern.WebhookDelivery) { applied(d, 100<<10) }, []string{"metadata: Too long"},
		},
		"some, of a pending record": {pending, func(d *postern.WebhookDelivery) { applied(d, 2<<10) }, nil},
		"more, of a pending record": {
			pending, func(d *postern.WebhookDelivery) { applied(d, 4<<10) }, []string{"metadata: Forbidden"},
		},
		"less than before, of a pending record": {
			func(d *postern.WebhookDelivery) { pending(d); applied(d, 100<<10) },
			func(d *postern.WebhookDelivery) { applied(d, 99<<10) }, nil,
		},
		"less than before": {
			func(d *postern.WebhookDelivery) { wide(d); applied(d, 300<<10) },
			func(d *postern.WebhookDelivery) { applied(d, 299<<10) }, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			old := recorded()
			test.old(old)
			updated := old.DeepCopy()
			test.change(updated)
			check(t, ValidateUpdate(updated, old), test.want)
		})
	}
}
