// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
)

func TestPlanFor_ListsExactChanges(t *testing.T) {
	parameters := []argov1alpha1.HelmParameter{
		{Name: "image.tag", Value: new("1.0.0")},
		{Name: "replicas", Value: new("2"), ForceString: new(false)},
	}
	newName := argov1alpha1.HelmParameter{Name: "image.name", Value: new("shop"), ForceString: new(true)}
	newTag := argov1alpha1.HelmParameter{Name: "image.tag", Value: new("1.1.0"), ForceString: new(true)}
	place := func(field, path string) Source { return Source{Field: field, Path: path, RepoURL: "https://git/shop"} }

	for _, tc := range []struct {
		name string
		app  *argov1alpha1.Application
		want Override
		path string
	}{
		{
			name: "nothing is set yet, not even the block",
			app: running("Kustomize",
				argov1alpha1.ApplicationSource{RepoURL: "https://git/shop"}, "shop:1.0.0"),
			want: Override{
				Source:        place("spec.source", "/spec/source"),
				List:          ListKustomizeImages,
				ParentMissing: true,
				Before:        []string(nil),
				After:         []string{"shop:1.1.0"},
				Changes:       []ListChange{{Index: 0, New: "shop:1.1.0"}},
			},
			path: "/spec/source/kustomize/images",
		},
		{
			name: "the block is there, the list is not",
			app: running("Kustomize", argov1alpha1.ApplicationSource{
				RepoURL:   "https://git/shop",
				Kustomize: &argov1alpha1.ApplicationSourceKustomize{},
			}, "shop:1.0.0"),
			want: Override{
				Source:  place("spec.source", "/spec/source"),
				List:    ListKustomizeImages,
				Before:  []string(nil),
				After:   []string{"shop:1.1.0"},
				Changes: []ListChange{{Index: 0, New: "shop:1.1.0"}},
			},
			path: "/spec/source/kustomize/images",
		},
		{
			name: "one parameter is replaced, one appended, one left alone",
			app: &argov1alpha1.Application{
				Spec: argov1alpha1.ApplicationSpec{Sources: []argov1alpha1.ApplicationSource{
					{RepoURL: "https://git/values"},
					{RepoURL: "https://git/shop", Helm: &argov1alpha1.ApplicationSourceHelm{Parameters: parameters}},
				}},
				Status: argov1alpha1.ApplicationStatus{
					SourceTypes: []string{"Directory", "Helm"},
					Summary:     argov1alpha1.ApplicationSummary{Images: []string{"shop:1.0.0"}},
				},
			},
			want: Override{
				Source: place("spec.sources[1]", "/spec/sources/1"),
				List:   ListHelmParameters,
				Before: parameters,
				After:  []argov1alpha1.HelmParameter{newTag, parameters[1], newName},
				Changes: []ListChange{
					{Index: 0, Old: parameters[0], New: newTag},
					{Index: 2, New: newName},
				},
			},
			path: "/spec/sources/1/helm/parameters",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			asRead := tc.app.DeepCopy()
			plan := PlanFor(tc.app, semverOf("shop"), Image{Name: "shop", Tag: "1.1.0"})
			if diff := cmp.Diff([]Override{tc.want}, plan.Overrides); diff != "" {
				t.Errorf("the overrides differ (-want +got):\n%s", diff)
			}
			if got := plan.Overrides[0].Path(); got != tc.path {
				t.Errorf("Path() = %q, want %q", got, tc.path)
			}
			if diff := cmp.Diff(asRead, tc.app); diff != "" {
				t.Errorf("the Application was modified (-before +after):\n%s", diff)
			}
		})
	}
}

func TestPlanFor_MergesAliases(t *testing.T) {
	config := Config{Images: []ImageConfig{
		{Alias: "api", Name: "shop", Strategy: Semver, Target: ManifestTarget{SourceType: "Helm", Spec: "api.image"}},
		{Alias: "other", Name: "nginx", Strategy: Semver},
		{Alias: "web", Name: "shop", Strategy: Digest, Constraint: "1.1.0",
			Target: ManifestTarget{SourceType: "Helm", Spec: "web.image"}},
		{Alias: "again", Name: "shop", Strategy: Semver,
			Target: ManifestTarget{SourceType: "Helm", Spec: "api.image"}},
	}}
	app := running("Helm", argov1alpha1.ApplicationSource{}, "shop:1.0.0")
	pushed := image(t, "shop:1.1.0@sha256:new")

	plan := PlanFor(app, config, pushed)
	var reasons []string
	for _, d := range plan.Decisions {
		reasons = append(reasons, d.Slot+" "+d.Reason)
	}
	want := []string{"api " + ReasonNewerVersion, "web " + ReasonNothingToCompare, "again " + ReasonUpToDate}
	if diff := cmp.Diff(want, reasons); diff != "" {
		t.Errorf("the decisions differ (-want +got):\n%s", diff)
	}
	if len(plan.Overrides) != 1 {
		t.Fatalf("got %d overrides of one list", len(plan.Overrides))
	}
	wantEntries := []ListChange{
		{Index: 0,
			New: argov1alpha1.HelmParameter{Name: "api.image", Value: new("shop:1.1.0"), ForceString: new(true)}},
		{Index: 1,
			New: argov1alpha1.HelmParameter{Name: "web.image", Value: new(pushed.String()), ForceString: new(true)}},
	}
	if diff := cmp.Diff(wantEntries, plan.Overrides[0].Changes); diff != "" {
		t.Errorf("the entries differ (-want +got):\n%s", diff)
	}
}

func TestPlanFor_OtherWriteBackMethods(t *testing.T) {
	app := running("Kustomize", kustomize(), "shop:1.0.0")
	for method, want := range map[string]string{
		"":                    ReasonNewerVersion,
		"argocd":              ReasonNewerVersion,
		" argocd ":            ReasonNewerVersion,
		"git":                 ReasonGitWriteBack,
		"git:secret:ns/creds": ReasonGitWriteBack,
		"gitops":              ReasonInvalidConfiguration,
	} {
		config := semverOf("shop")
		config.WriteBack = method
		plan := PlanFor(app, config, Image{Name: "shop", Tag: "1.1.0"})
		if got := plan.Decisions[0].Reason; got != want {
			t.Errorf("with the method %q the reason is %s, want %s", method, got, want)
		}
		if writes := len(plan.Overrides) > 0; writes != (want == ReasonNewerVersion) {
			t.Errorf("with the method %q there are overrides: %v", method, writes)
		}
	}
}
