// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern"
)

// edited is an Application with every kind of source.
const edited = `{"metadata": {"namespace": "demo", "name": "shop", "labels": {"a": "b"},
		"annotations": {"postern.dev/requested-ref": "v1", "postern.dev/requested-revision": "1111"}},
	"spec": {
		"source": {"repoURL": "https://git.acme.io/one", "kustomize": {"images": ["nginx:1", "redis:1"]}},
		"sources": [
			{"repoURL": "https://git.acme.io/two", "helm": {"parameters": [{"name": "tag", "value": "1"}]}},
			{"repoURL": "https://git.acme.io/three", "targetRevision": "main",
				"plugin": {"env": [{"name": "TAG", "value": "1"}]}}],
		"sourceHydrator": {"drySource": {"repoURL": "https://git.acme.io/dry"}}}}`

func TestWorkingCopy_EditsLikeAPIServer(t *testing.T) {
	type parameter struct {
		Name        string `json:"name"`
		Value       string `json:"value"`
		ForceString bool   `json:"forceString,omitempty"`
	}
	for _, patch := range [][]operation{
		{{Op: "add", Path: "/metadata/annotations/postern.dev~1requested-ref", Value: "v2"}},
		{{Op: "add", Path: "/metadata/annotations/postern.dev~1a~0b", Value: ""}},
		{{Op: "remove", Path: "/metadata/annotations/postern.dev~1requested-revision"}},
		{{Op: "add", Path: "/metadata/annotations", Value: map[string]string{}},
			{Op: "add", Path: "/metadata/annotations/postern.dev~1x", Value: "y"}},
		{{Op: "add", Path: "/spec/source/targetRevision", Value: "v2"}},
		{{Op: "add", Path: "/spec/sources/1/targetRevision", Value: "v2"},
			{Op: "add", Path: "/spec/sources/0/targetRevision", Value: "v2"}},
		{{Op: "add", Path: "/spec/sourceHydrator/drySource/targetRevision", Value: "v2"}},
		{{Op: "replace", Path: "/spec/source/kustomize/images/1", Value: "redis:2"},
			{Op: "add", Path: "/spec/source/kustomize/images/-", Value: "x:1"}},
		{{Op: "add", Path: "/spec/source/kustomize/images", Value: []string{"a:1"}},
			{Op: "replace", Path: "/spec/source/kustomize/images/0", Value: "a:2"}},
		{{Op: "add", Path: "/spec/sources/0/kustomize", Value: map[string]any{"images": []string{"a:1"}}}},
		{{Op: "add", Path: "/spec/sources/0/helm/parameters/-", Value: parameter{"b", "1.20", true}}},
		{{Op: "replace", Path: "/spec/sources/0/helm/parameters/0", Value: parameter{"tag", "2", false}}},
		{{Op: "add", Path: "/spec/sources/1/plugin/env/-", Value: parameter{"X", "y", false}}},
		{{Op: "add", Path: "/spec/sourceHydrator/drySource/plugin",
			Value: map[string]any{"env": []parameter{{"X", "y", false}}}}},
	} {
		before := parse(t, postern.TargetApplication, edited)
		working := workingCopy(before)
		if err := applyEdits(working, append([]operation{{Op: "test", Path: "/nowhere", Value: "else"}},
			patch...)); err != nil {
			t.Fatal(err)
		}
		want := parse(t, postern.TargetApplication, mustApply(t, edited, patch))
		if diff := cmp.Diff(want, working, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%v (-patched +edited):\n%s", patch, diff)
		}
		if diff := cmp.Diff(parse(t, postern.TargetApplication, edited), before); diff != "" {
			t.Errorf("%v: the object that was copied changed (-before +after):\n%s", patch, diff)
		}
	}
}

// A list that an earlier decision tests must not change.
func TestWorkingCopy_EarlierValuesStay(t *testing.T) {
	working := workingCopy(parse(t, postern.TargetApplication, edited))
	app := working.(*argov1alpha1.Application)
	replace := func(with string) {
		t.Helper()
		o := operation{Op: "replace", Path: "/spec/source/kustomize/images/0", Value: with}
		if err := applyEdits(working, []operation{o}); err != nil {
			t.Fatal(err)
		}
	}
	replace("nginx:2")
	held := app.Spec.Source.Kustomize.Images
	replace("nginx:3")
	if diff := cmp.Diff([]string{"nginx:2", "redis:1"}, held); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"nginx:3", "redis:1"}, app.Spec.Source.Kustomize.Images); diff != "" {
		t.Errorf("after the edit (-want +got):\n%s", diff)
	}
}

func TestWorkingCopy_MissingPathIsRefused(t *testing.T) {
	for _, o := range []operation{
		{Op: "add", Path: "/spec/nowhere", Value: "x"},
		{Op: "replace", Path: "/spec/sources/2", Value: map[string]any{}},
		{Op: "add", Path: "/spec/sources/0", Value: map[string]any{}}, // would be inserted before the others
		{Op: "add", Path: "/spec/sources/-1/targetRevision", Value: "x"},
		{Op: "add", Path: "/spec/source/targetRevision", Value: 5},
		{Op: "add", Path: "/spec/source/repoURL/x", Value: "x"},
	} {
		working := workingCopy(parse(t, postern.TargetApplication, edited))
		if err := applyEdits(working, []operation{o}); err == nil {
			t.Errorf("%v was applied", o)
		}
	}
}
