// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package webhookdelivery

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/utils/ptr"

	"postern.dev/postern/apis/postern"
)

// A record that was never applied needs no managed fields: the first apply adds them.
func TestStrategy_KeepsManagedFieldsOnlyIfApplied(t *testing.T) {
	for operation, want := range map[metav1.ManagedFieldsOperationType]int{"Update": 0, "Apply": 2} {
		entries := []metav1.ManagedFieldsEntry{{Manager: "a", Operation: "Update"},
			{Manager: "b", Operation: operation}}
		created, updated := applied(), applied()
		created.ManagedFields, updated.ManagedFields = entries, entries
		newStrategy(newScheme()).PrepareForCreate(t.Context(), created)
		clientStrategy{}.PrepareForUpdate(t.Context(), updated, applied())
		for name, d := range map[string]*postern.WebhookDelivery{"created": created, "updated": updated} {
			if got := len(d.ManagedFields); got != want {
				t.Errorf("%s, %s: %d entries, want %d", name, operation, got, want)
			}
			if diff := cmp.Diff(applied().Spec, d.Spec); diff != "" {
				t.Errorf("%s: spec (-want +got):\n%s", name, diff)
			}
		}
	}
}

// The garbage collector can't delete a record while Postern is down, and owners must not wait for that.
func TestStrategy_NoBlockingOwners(t *testing.T) {
	owner := metav1.OwnerReference{APIVersion: "stoker.io/v1alpha1", Kind: "GatewaySync", Name: "plant", UID: "1",
		Controller: new(true)}
	for name, block := range map[string]*bool{
		"not said": nil, "false": new(false), "true": new(true), "true, in an update": new(true),
	} {
		delivery := applied()
		blocking := owner
		blocking.BlockOwnerDeletion = block
		delivery.OwnerReferences = []metav1.OwnerReference{owner, blocking}
		warnings := &recorder{}
		ctx := warning.WithWarningRecorder(t.Context(), warnings)
		if name == "true, in an update" {
			clientStrategy{}.PrepareForUpdate(ctx, delivery, applied())
		} else {
			newStrategy(newScheme()).PrepareForCreate(ctx, delivery)
		}
		if diff := cmp.Diff([]metav1.OwnerReference{owner, owner}, delivery.OwnerReferences); diff != "" {
			t.Errorf("%s: owners (-want +got):\n%s", name, diff)
		}
		if warned := len(*warnings) > 0; warned != ptr.Deref(block, false) {
			t.Errorf("%s: warned: %v", name, *warnings)
		}
	}
}

// recorder records warnings.
type recorder []string

func (r *recorder) AddWarning(_, text string) { *r = append(*r, text) }

func TestStrategy_UpdateChangesStatusOnly(t *testing.T) {
	s := newStrategy(newScheme())
	updated := applied()
	updated.Spec = postern.WebhookDeliverySpec{Ref: "other"}
	updated.Status.Phase = postern.DeliveryFailed
	s.PrepareForUpdate(t.Context(), updated, applied())
	if diff := cmp.Diff(applied().Spec, updated.Spec); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
	if updated.Status.Phase != postern.DeliveryFailed {
		t.Errorf("the status is still %s", updated.Status.Phase)
	}
	if s.AllowCreateOnUpdate(t.Context()) || s.AllowUnconditionalUpdate(t.Context()) {
		t.Error("an update may create a record or overwrite a concurrent change")
	}
}

// Admission may have changed the spec after the update was received.
func TestStrategy_ClientsUpdateMetadataOnly(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*postern.WebhookDelivery)
		errs   int
	}{
		"a label":   {func(d *postern.WebhookDelivery) { d.Labels = map[string]string{"a": "b"} }, 0},
		"the spec":  {func(d *postern.WebhookDelivery) { d.Spec.Ref = "other" }, 1},
		"the phase": {func(d *postern.WebhookDelivery) { d.Status.Phase = postern.DeliveryFailed }, 1},
	} {
		old := applied()
		updated := old.DeepCopy()
		test.change(updated)
		clientStrategy{}.PrepareForUpdate(t.Context(), updated, old)
		if errs := (clientStrategy{}).ValidateUpdate(t.Context(), updated, old); len(errs) != test.errs {
			t.Errorf("%s: got errors %v, want %d", name, errs, test.errs)
		}
	}
}

func TestStrategy_RefusesInvalidRecords(t *testing.T) {
	s := newStrategy(newScheme())
	created, spoilt := applied(), applied()
	created.ResourceVersion, spoilt.ResourceVersion = "", ""
	large := created.DeepCopy()
	large.Annotations = map[string]string{"x": strings.Repeat("&", 50<<10)}
	withResults, withProgress, tooLarge := large.DeepCopy(), large.DeepCopy(), large.DeepCopy()
	withResults.Status.Targets = []postern.TargetResult{{Message: strings.Repeat("&", 70<<10)}}
	withProgress.Status.Progress = &postern.DeliveryProgress{Except: []string{strings.Repeat("a", 32<<10)}}
	tooLarge.Status.Targets = []postern.TargetResult{{Message: strings.Repeat("&", 90<<10)}}
	invalid := applied()
	invalid.Spec.Events[0].Ref = "-rf" // no longer valid for new records
	spoilt.Spec.Payload = &postern.JSON{Raw: []byte("{}")}
	for name, errs := range map[string]int{
		"created sound":  len(s.Validate(t.Context(), created)),
		"created large":  len(s.Validate(t.Context(), large)) - 1,
		"with results":   len(s.Validate(t.Context(), withResults)),
		"with progress":  len(s.Validate(t.Context(), withProgress)),
		"too large":      len(s.Validate(t.Context(), tooLarge)) - 1,
		"updated old":    len(s.ValidateUpdate(t.Context(), invalid, applied())),
		"updated sound":  len(s.ValidateUpdate(t.Context(), applied(), applied())),
		"created spoilt": len(s.Validate(t.Context(), spoilt)) - 1,
		"updated spoilt": len(s.ValidateUpdate(t.Context(), spoilt, applied())) - 1,
	} {
		if errs != 0 {
			t.Errorf("%s: %+d errors", name, errs)
		}
	}
}

func TestStrategy_FieldSelectors(t *testing.T) {
	gotLabels, gotFields, err := getAttrs(applied())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(labels.Set{"team": "a"}, gotLabels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	want := fields.Set{
		"metadata.name": "github-x", "metadata.namespace": "demo", "status.phase": "Applied", "spec.source": "github",
		"spec.target.kind": "GatewaySync", "spec.target.name": "plant",
	}
	if diff := cmp.Diff(want, gotFields); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}

	_, gotFields, err = getAttrs(&postern.WebhookDelivery{})
	if err != nil || gotFields["spec.target.name"] != "" {
		t.Errorf("without a target: got %v, %v", gotFields, err)
	}
	if _, _, err := getAttrs(&postern.Application{}); err == nil {
		t.Error("an Application was accepted as a delivery")
	}
}

func TestStrategy_ListSelectors(t *testing.T) {
	for selector, want := range map[string]bool{
		"":                      true,
		"status.phase=Applied":  true,
		"status.phase!=Applied": false,
		"spec.source=github,spec.target.name=web": false,
	} {
		predicate := matchDelivery(labels.Everything(), fields.ParseSelectorOrDie(selector))
		if got, err := predicate.Matches(applied()); got != want || err != nil {
			t.Errorf("%q: got %t, %v, want %t", selector, got, err, want)
		}
	}
}
