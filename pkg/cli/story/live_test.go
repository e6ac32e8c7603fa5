// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package story

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/text"
)

const application = `
metadata:
  annotations: {postern.dev/requested-ref: v2}
spec:
  source:
    targetRevision: v2
    kustomize: {images: ["ghcr.io/a/web:3.0", "old=ghcr.io/a/api:1.1", "localhost:5000/db@sha256:ab"]}
    helm: {parameters: [{name: image.tag, value: "4"}, {name: flag}]}
  sources:
  - targetRevision: one
  - targetRevision: two
    plugin: {env: [{name: TAG, value: "5"}]}
`

func TestLiveTarget_Now(t *testing.T) {
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(application), &object.Object); err != nil {
		t.Fatal(err)
	}
	live := &liveTarget{v1alpha1.TargetApplication, object}
	for _, tt := range []struct{ field, old, new, now string }{
		{"postern.dev/requested-ref", "v0", "v1", "v2"},
		{"postern.dev/requested-revision", "", "abc", ""},
		{"spec.source.targetRevision", "v0", "v1", "v2"},
		{"spec.sources[1].targetRevision", "", "v1", "two"},
		{"spec.sources[2].targetRevision", "", "v1", ""},
		{"spec.source.kustomize.images", "ghcr.io/a/web:1.0", "ghcr.io/a/web:2.0", "ghcr.io/a/web:3.0"},
		{"spec.source.kustomize.images", "", "old=ghcr.io/a/api:1.0", "old=ghcr.io/a/api:1.1"},
		{"spec.source.kustomize.images", "", "localhost:5000/db:1@sha256:cd", "localhost:5000/db@sha256:ab"},
		{"spec.source.kustomize.images", "", "ghcr.io/a/gone:1", ""},
		{"spec.source.helm.parameters", "image.tag=2", "image.tag=3", "image.tag=4"},
		{"spec.source.helm.parameters", "", "flag", "flag"},
		{"spec.sources[1].plugin.env", "", "TAG=4", "TAG=5"},
		{"spec.absent.images", "", "a:1", ""},
		{"spec.source.targetRevision.deeper", "", "a", ""},
	} {
		if got := live.now(v1alpha1.FieldChange{Field: tt.field, Old: tt.old, New: tt.new}); got != tt.now {
			t.Errorf("%s: the value now is %q, expected %q", tt.field, got, tt.now)
		}
	}
}

// TestCompare_LongValuesAreCutOffAlike compares a value that the server has cut off with the whole one of the target.
func TestCompare_LongValuesAreCutOffAlike(t *testing.T) {
	long := strings.Repeat("x", 2*maxValueBytes)
	object := &unstructured.Unstructured{}
	object.SetAnnotations(map[string]string{"key": long})
	story := TargetStory{TargetResult: v1alpha1.TargetResult{Changes: []v1alpha1.FieldChange{
		{Field: "key", New: text.Truncate(long, maxValueBytes)},
	}}}
	story.compare(&liveTarget{v1alpha1.TargetApplication, object})
	if !story.Changes[0].Held() {
		t.Errorf("got %+v", story.Changes[0])
	}
}

// FuzzLookup reads any path without a panic.
func FuzzLookup(f *testing.F) {
	f.Add("spec.sources[1].targetRevision")
	f.Add("spec.sources[-1]")
	f.Add("spec.sources[")
	f.Add("[0].")
	object := map[string]any{}
	if err := yaml.Unmarshal([]byte(application), &object); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(_ *testing.T, path string) { lookup(object, path) })
}
