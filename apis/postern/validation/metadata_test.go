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

func TestValidateNew_NameIsDNSSubdomain(t *testing.T) {
	const wrong, wrongPrefix = "metadata.name: Invalid value", "metadata.generateName: Invalid value"
	for _, test := range []struct {
		name, generateName string
		want               []string
	}{
		{"release", "", nil},
		{"docker.io-1234", "", nil},
		{"", "release-", nil},
		{"", "docker.io-", nil},
		{"", "", nil}, // the server generates a name
		{strings.Repeat("a", 253), "", nil},
		{strings.Repeat("a", 254), "", []string{wrong}},
		{strings.Repeat("a", 60000), "", []string{wrong}},
		{"Release", "", []string{wrong}},
		{"release_1", "", []string{wrong}},
		{"two words", "", []string{wrong}},
		{"esc\x1b[31mred", "", []string{wrong}},
		{"line\nbreak", "", []string{wrong}},
		{"ünïcode", "", []string{wrong}},
		{"a/b", "", []string{wrong}},
		{"100%", "", []string{wrong}},
		{"..", "", []string{wrong}},
		{"", "X_", []string{wrongPrefix}},
		{"", "a/", []string{wrongPrefix}},
		{"", strings.Repeat("a", 300), []string{wrongPrefix}},
		{"A", "B", []string{wrong, wrongPrefix}},
	} {
		t.Run(fmt.Sprintf("%.20q,%.20q", test.name, test.generateName), func(t *testing.T) {
			d := sent()
			d.Name, d.GenerateName = test.name, test.generateName
			errs := ValidateNew(d, sources, maxBytes)
			check(t, errs, test.want)
			if len(errs) > 0 && len(errs.ToAggregate().Error()) > 1<<10 {
				t.Errorf("the error has %d bytes, want at most 1024", len(errs.ToAggregate().Error()))
			}
			d = received()
			d.Name, d.GenerateName = test.name, test.generateName
			check(t, ValidateRecord(d), test.want)
		})
	}
}

func TestValidateNew_RefusesUnstorableMetadata(t *testing.T) {
	owner := metav1.OwnerReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "shop", UID: "1"}
	many := func(n int) map[string]string {
		texts := map[string]string{}
		for i := range n {
			texts[fmt.Sprintf("k%d", i)] = ""
		}
		return texts
	}
	for name, test := range map[string]rule{
		"the allowed maximum": {func(d *postern.WebhookDelivery) {
			d.Labels, d.Annotations = many(maxLabels), map[string]string{"x": strings.Repeat("a", maxAnnotationBytes-1)}
			for i := range maxOwnerReferences {
				d.OwnerReferences = append(d.OwnerReferences, owner)
				d.Finalizers = append(d.Finalizers, fmt.Sprintf("example.com/f%d", i))
			}
		}, nil},
		"an invalid label": {
			func(d *postern.WebhookDelivery) { d.Labels = map[string]string{"a b": "c"} },
			[]string{"metadata.labels: Invalid value"},
		},
		"a long invalid label": {
			func(d *postern.WebhookDelivery) { d.Labels = map[string]string{"a": strings.Repeat("ab ", 1<<19)} },
			[]string{"metadata.labels: Invalid value", "metadata.labels: Invalid value"},
		},
		"an annotation with an invalid key": {
			func(d *postern.WebhookDelivery) { d.Annotations = map[string]string{"a b": "c"} },
			[]string{"metadata.annotations: Invalid value"},
		},
		"many labels": {
			func(d *postern.WebhookDelivery) { d.Labels = many(maxLabels + 1) },
			[]string{"metadata.labels: Too many"},
		},
		"many annotations": {
			func(d *postern.WebhookDelivery) { d.Annotations = many(maxAnnotations + 1) },
			[]string{"metadata.annotations: Too many"},
		},
		"long annotations": {
			func(d *postern.WebhookDelivery) {
				d.Annotations = map[string]string{"x": strings.Repeat("a", maxAnnotationBytes)}
			},
			[]string{"metadata.annotations: Too long"},
		},
		"many owners": {
			func(d *postern.WebhookDelivery) {
				d.OwnerReferences = make([]metav1.OwnerReference, maxOwnerReferences+1)
			},
			[]string{"metadata.ownerReferences: Too many"},
		},
		"many finalizers": {
			func(d *postern.WebhookDelivery) { d.Finalizers = make([]string, maxFinalizers+1) },
			[]string{"metadata.finalizers: Too many"},
		},
		"an invalid finalizer": {
			func(d *postern.WebhookDelivery) { d.Finalizers = []string{"a b"} },
			[]string{"metadata.finalizers: Invalid value"},
		},
		"an owner without a name": {
			func(d *postern.WebhookDelivery) {
				d.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", UID: "1"}}
			},
			[]string{"metadata.ownerReferences[0].name: Required value"},
		},
		"an owner with a long name": {
			func(d *postern.WebhookDelivery) {
				long := owner
				long.Name = strings.Repeat("a", maxReferenceBytes+1)
				d.OwnerReferences = []metav1.OwnerReference{long}
			},
			[]string{"metadata.ownerReferences[0].name: Too long"},
		},
		"a resource version": {
			func(d *postern.WebhookDelivery) { d.ResourceVersion = "1" },
			[]string{"metadata.resourceVersion: Forbidden"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := sent()
			test.change(d)
			errs := ValidateNew(d, sources, maxBytes)
			check(t, errs, test.want)
			if len(errs) > 0 && len(errs.ToAggregate().Error()) > 1<<10 {
				t.Errorf("the error has %d bytes, want at most 1024", len(errs.ToAggregate().Error()))
			}
			d = received()
			test.change(d)
			check(t, ValidateRecord(d), test.want)
			check(t, ValidateAdmitted(d, received()), test.want)
		})
	}
}
