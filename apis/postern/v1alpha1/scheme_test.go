// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"

	"postern.dev/postern/apis/postern"
)

func newScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{postern.AddToScheme, AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return scheme
}

func TestDefaults_EventsAreNeverNil(t *testing.T) {
	scheme := newScheme(t)
	one := []DeliveryEvent{{Ref: "main"}}
	for name, test := range map[string]struct{ events, want []DeliveryEvent }{
		"absent": {nil, []DeliveryEvent{}},
		"empty":  {[]DeliveryEvent{}, []DeliveryEvent{}},
		"one":    {one, one},
	} {
		t.Run(name, func(t *testing.T) {
			d := WebhookDelivery{Spec: WebhookDeliverySpec{Events: test.events}}
			list := &WebhookDeliveryList{Items: []WebhookDelivery{d}}
			scheme.Default(&d)
			scheme.Default(list)
			for _, got := range [][]DeliveryEvent{d.Spec.Events, list.Items[0].Spec.Events} {
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestFieldLabels_OnlyDeclaredFields(t *testing.T) {
	scheme := newScheme(t)
	kind := SchemeGroupVersion.WithKind("WebhookDelivery")
	for _, label := range []string{
		"metadata.name", "metadata.namespace", "status.phase", "spec.source", "spec.target.kind", "spec.target.name",
	} {
		gotLabel, gotValue, err := scheme.ConvertFieldLabel(kind, label, "value")
		if gotLabel != label || gotValue != "value" || err != nil {
			t.Errorf("%s: got %q, %q, %v", label, gotLabel, gotValue, err)
		}
	}

	_, _, err := scheme.ConvertFieldLabel(kind, "spec.ref", "main")
	const want = `"spec.ref" is not a selectable field of deliveries: ` +
		"use metadata.name, metadata.namespace, status.phase, spec.source, spec.target.kind or spec.target.name"
	if err == nil {
		t.Fatal("spec.ref can be selected")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
}
