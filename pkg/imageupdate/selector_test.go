// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
)

// selecting returns an ImageUpdater with the given references. The alias of each image is the object name and the index
// of the reference.
func selecting(name string, refs ...iuv1alpha1.ApplicationRef) *iuv1alpha1.ImageUpdater {
	for i := range refs {
		refs[i].Images = []iuv1alpha1.ImageConfig{{Alias: name + string(rune('0'+i)), ImageName: "x"}}
	}
	return &iuv1alpha1.ImageUpdater{
		ObjectMeta: metav1.ObjectMeta{Namespace: "argocd", Name: name},
		Spec:       iuv1alpha1.ImageUpdaterSpec{ApplicationRefs: refs},
	}
}

func TestConfigFor_MostSpecificReference(t *testing.T) {
	type ref = iuv1alpha1.ApplicationRef
	labels := func(s ...string) *metav1.LabelSelector {
		selector := &metav1.LabelSelector{MatchLabels: map[string]string{}}
		for _, label := range s {
			selector.MatchLabels[label] = "yes"
		}
		return selector
	}
	broken := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Never"}}}
	annotations := new(true)
	elsewhere := selecting("elsewhere", ref{NamePattern: "shop"})
	elsewhere.Namespace = "other"

	for _, tc := range []struct {
		name     string
		updaters []*iuv1alpha1.ImageUpdater
		want     string // alias; empty: not found
		notes    []string
	}{
		{"none selects, annotations count", []*iuv1alpha1.ImageUpdater{selecting("a", ref{NamePattern: "x*"})}, "own",
			nil},
		{"another namespace", []*iuv1alpha1.ImageUpdater{elsewhere}, "own", nil},
		{"an exact name", []*iuv1alpha1.ImageUpdater{selecting("a", ref{NamePattern: "*"}, ref{NamePattern: "shop"},
			ref{NamePattern: "*", LabelSelectors: labels("a", "b")})}, "a1", nil},
		{"labels before letters", []*iuv1alpha1.ImageUpdater{selecting("a", ref{NamePattern: "sho*"},
			ref{NamePattern: "*", LabelSelectors: labels()})}, "a1", nil},
		{"more labels", []*iuv1alpha1.ImageUpdater{selecting("a", ref{NamePattern: "sho*", LabelSelectors: labels("a")},
			ref{NamePattern: "*", LabelSelectors: labels("a", "b")})}, "a1", nil},
		{"more letters", []*iuv1alpha1.ImageUpdater{selecting("a", ref{NamePattern: "s*"}, ref{NamePattern: "[r-t]ho?"},
			ref{NamePattern: "sh*"})}, "a1", nil},
		{"the first among equals",
			[]*iuv1alpha1.ImageUpdater{selecting("a", ref{NamePattern: "s*"}, ref{NamePattern: "*p"})},
			"a0", nil},
		{"labels that do not match", []*iuv1alpha1.ImageUpdater{selecting("a",
			ref{NamePattern: "shop", LabelSelectors: labels("c")}, ref{NamePattern: "*"})}, "a1", nil},
		{"a selector that is none", []*iuv1alpha1.ImageUpdater{selecting("a",
			ref{NamePattern: "shop", LabelSelectors: broken}, ref{NamePattern: "*"})}, "a1", nil},
		{"a pattern that is none",
			[]*iuv1alpha1.ImageUpdater{selecting("a", ref{NamePattern: "[sho"}, ref{NamePattern: "*"})},
			"a1", nil},
		{"across objects", []*iuv1alpha1.ImageUpdater{selecting("c", ref{NamePattern: "s*"}),
			selecting("b", ref{NamePattern: "sh*"}, ref{NamePattern: "*"}), selecting("a", ref{NamePattern: "sh*"})},
			"a0",
			[]string{"ImageUpdater b also selects the Application, less specifically",
				"ImageUpdater c also selects the Application, less specifically"}},
		{"annotations on demand", []*iuv1alpha1.ImageUpdater{selecting("a",
			ref{NamePattern: "shop", UseAnnotations: annotations}, ref{NamePattern: "*"})}, "own", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			app := annotated(map[string]string{"image-list": "own=x"})
			app.Labels = map[string]string{"a": "yes", "b": "yes"}
			got, found := ConfigFor(app, parseUpdaters(tc.updaters...))
			if !found || len(got.Images) != 1 || got.Images[0].Alias != tc.want {
				t.Fatalf("ConfigFor() = %+v, %v, want %s", got, found, tc.want)
			}
			if diff := cmp.Diff(tc.notes, got.Notes); diff != "" {
				t.Errorf("the notes differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConfigFor_SkipsMissingAnnotations(t *testing.T) {
	byAnnotations := iuv1alpha1.ApplicationRef{NamePattern: "shop", UseAnnotations: new(true)}
	alone := parseUpdaters(selecting("a", byAnnotations))
	if got, found := ConfigFor(annotated(nil), alone); found {
		t.Errorf("ConfigFor() = %+v, want none", got)
	}
	alternative := parseUpdaters(selecting("a", byAnnotations, iuv1alpha1.ApplicationRef{NamePattern: "*"}))
	if got, _ := ConfigFor(annotated(nil), alternative); len(got.Images) != 1 || got.Images[0].Alias != "a1" {
		t.Errorf("ConfigFor() = %+v, want the configuration of the wider pattern", got)
	}
}
