// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern"
)

func TestTargetRevision_Moves(t *testing.T) {
	shop, values := "https://github.com/example/shop.git", "https://github.com/example/values"
	for _, test := range []struct {
		name        string
		optIn       string
		spec        argov1alpha1.ApplicationSpec
		repository  string
		want        []Change
		wantMessage string
		// wantPatch is the part of the patch about the spec.
		wantPatch string
	}{
		{
			name:        "the one source",
			optIn:       "true",
			spec:        argov1alpha1.ApplicationSpec{Source: new(source(shop, "v1"))},
			repository:  "git@github.com:example/shop.git",
			want:        []Change{{Field: "spec.source.targetRevision", Old: "v1", New: "v2"}},
			wantMessage: `spec.source.targetRevision "v1" → "v2"`,
			wantPatch: `[
				{"op": "test", "path": "/spec/source/targetRevision", "value": "v1"},
				{"op": "add", "path": "/spec/source/targetRevision", "value": "v2"}
			]`,
		},
		{
			name:  "the only source, although it is another repository, or a chart",
			optIn: "true",
			spec: argov1alpha1.ApplicationSpec{Sources: []argov1alpha1.ApplicationSource{
				{RepoURL: "https://charts.example.com", Chart: "shop"}}},
			repository:  shop,
			want:        []Change{{Field: "spec.sources[0].targetRevision", New: "v2"}},
			wantMessage: `spec.sources[0].targetRevision set to "v2"`,
			wantPatch: `[
				{"op": "test", "path": "/spec/sources/0/targetRevision", "value": null},
				{"op": "add", "path": "/spec/sources/0/targetRevision", "value": "v2"}
			]`,
		},
		{
			name:  "every source from the repository, and not the unused spec.source",
			optIn: "true",
			spec: argov1alpha1.ApplicationSpec{
				Source: new(source(shop, "v0")),
				Sources: []argov1alpha1.ApplicationSource{source(shop, "v1"), source(values, "main"),
					source("ssh://git@github.com/example/shop", "v2"), source(shop, "")},
			},
			repository: shop,
			want: []Change{
				{Field: "spec.sources[0].targetRevision", Old: "v1", New: "v2"},
				{Field: "spec.sources[3].targetRevision", New: "v2"},
			},
			wantMessage: `spec.sources[0].targetRevision "v1" → "v2"; spec.sources[3].targetRevision set to "v2"`,
			wantPatch: `[
				{"op": "test", "path": "/spec/sources/0/targetRevision", "value": "v1"},
				{"op": "test", "path": "/spec/sources/3/targetRevision", "value": ""},
				{"op": "add", "path": "/spec/sources/0/targetRevision", "value": "v2"},
				{"op": "add", "path": "/spec/sources/3/targetRevision", "value": "v2"}
			]`,
		},
		{
			name:  "the dry source of a hydrator, which is used instead of all others",
			optIn: "true",
			spec: argov1alpha1.ApplicationSpec{
				Source:         new(source(shop, "v0")),
				SourceHydrator: &argov1alpha1.SourceHydrator{DrySource: source(shop, "v1")},
			},
			repository:  shop,
			want:        []Change{{Field: "spec.sourceHydrator.drySource.targetRevision", Old: "v1", New: "v2"}},
			wantMessage: `spec.sourceHydrator.drySource.targetRevision "v1" → "v2"`,
			wantPatch: `[
				{"op": "test", "path": "/spec/sourceHydrator/drySource/targetRevision", "value": "v1"},
				{"op": "add", "path": "/spec/sourceHydrator/drySource/targetRevision", "value": "v2"}
			]`,
		},
		{
			name:  "no source of several is from the repository",
			optIn: "true",
			spec: argov1alpha1.ApplicationSpec{Sources: []argov1alpha1.ApplicationSource{source(values, "main"),
				source("https://x.test/y", "v1")}},
			repository:  "https://user:token@github.com/example/shop.git",
			wantMessage: `targetRevision is not changed, because none of the 2 sources is "github.com/example/shop"`,
		},
		{
			name:  "several sources and no repository to choose by",
			optIn: "true",
			spec: argov1alpha1.ApplicationSpec{Sources: []argov1alpha1.ApplicationSource{source(values, "main"),
				source(shop, "v1")}},
			wantMessage: `targetRevision is not changed, because there are 2 sources and the request names no ` +
				`repository`,
		},
		{
			name:        "no source at all",
			optIn:       "true",
			repository:  shop,
			wantMessage: `there is no source whose targetRevision could be set`,
		},
		{
			name:       "a value other than true is not consent",
			optIn:      "yes",
			spec:       argov1alpha1.ApplicationSpec{Source: new(source(shop, "v1"))},
			repository: shop,
			wantMessage: `targetRevision is not changed, because postern.dev/update-target-revision is "yes" and not ` +
				`"true"`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := decide(t, &argov1alpha1.Application{
				ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{
					"postern.dev/update-target-revision": test.optIn,
					"postern.dev/requested-ref":          "v1",
				}},
				Spec: test.spec,
			}, Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2", Repository: test.repository, Source: "github"},
				At: noon})

			want := append([]Change{{Field: "postern.dev/requested-ref", Old: "v1", New: "v2"}}, test.want...)
			if diff := cmp.Diff(want, got.Changes); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
			if want := `postern.dev/requested-ref "v1" → "v2"; ` + test.wantMessage; got.Message != want {
				t.Errorf("got message\n%s\nwant\n%s", got.Message, want)
			}
			consent, spec := splitPatch(got.Patch)
			if !consent {
				t.Error("the patch does not test for consent")
			}
			if test.wantPatch == "" {
				test.wantPatch = "null"
			}
			expectPatch(t, test.wantPatch, onSpec(spec))
		})
	}
}

func TestTargetRevision_MovesBack(t *testing.T) {
	app := &argov1alpha1.Application{
		ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{
			"postern.dev/update-target-revision": "true",
			"postern.dev/requested-ref":          "v2",
		}},
		Spec: argov1alpha1.ApplicationSpec{Source: new(source("https://github.com/example/shop", "edited-by-hand"))},
	}
	got := decide(t, app, Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2", Source: "github"}, At: noon}).Result
	want := Result{
		Changes:  []Change{{Field: "spec.source.targetRevision", Old: "edited-by-hand", New: "v2"}},
		Previous: "edited-by-hand",
		Held:     true,
		Reason:   "Requested",
		Message:  `spec.source.targetRevision "edited-by-hand" → "v2"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// splitPatch reports whether a patch tests for the owner's consent, and returns the operations on the spec.
func splitPatch(patch []operation) (consent bool, spec []operation) {
	for _, operation := range patch {
		switch {
		case operation.Op == "test" && operation.Path == annotationPath(AnnotationUpdateTargetRevision):
			consent = true
		case strings.HasPrefix(operation.Path, "/spec/"):
			spec = append(spec, operation)
		}
	}
	return consent, spec
}
