// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/imageupdate"
)

// TestDecideImage_WritesOverrides checks the patch and the patched object for every kind of list and every state of it.
func TestDecideImage_WritesOverrides(t *testing.T) {
	for _, test := range imageOverrides {
		t.Run(test.name, func(t *testing.T) {
			before := test.document(t)
			got := test.decide(t, before)
			expectPatch(t, test.wantPatch, onSpec(got.Patch))

			want := Result{
				Changes: append([]Change{{Field: "postern.dev/requested-ref", New: test.pushed}}, test.want...),
				Held:    true,
				Reason:  imageupdate.ReasonNewerVersion,
			}
			if test.wantReason != "" {
				want.Reason = test.wantReason
			}
			if diff := cmp.Diff(want, got.Result, ignoreMessage); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
			expectObject(t, test.after(t, test.wantSpec), mustApply(t, before, got.Patch))
		})
	}
}

func TestDecideImage_IsIdempotent(t *testing.T) {
	for _, test := range imageOverrides {
		t.Run(test.name, func(t *testing.T) {
			before := test.document(t)
			after := mustApply(t, before, test.decide(t, before).Patch)
			got := test.decide(t, after)
			expectPatch(t, "null", got.Patch)
			want := Result{Previous: test.pushed, Held: true, Reason: imageupdate.ReasonUpToDate}
			if diff := cmp.Diff(want, got.Result, ignoreMessage); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
		})
	}
}

// TestDecideImage_PatchTestsList changes each value that a patch tests, as another client would. One of them is
// the list that it writes to.
func TestDecideImage_PatchTestsList(t *testing.T) {
	for _, test := range imageOverrides {
		t.Run(test.name, func(t *testing.T) {
			before := test.document(t)
			patch := test.decide(t, before).Patch
			for _, read := range patch {
				if read.Op != "test" {
					continue
				}
				for _, changed := range meanwhile(read.Value) {
					now := mustApply(t, before, []operation{{Op: "add", Path: read.Path, Value: changed}})
					if _, err := apply(now, patch); err == nil {
						t.Errorf("the patch passed although %s became %v", read.Path, changed)
					}
				}
			}
		})
	}
}

// meanwhile returns values that another client may have made of a value.
func meanwhile(value any) []any {
	list, ok := value.([]any)
	if !ok {
		return []any{"changed by others"}
	}
	changed := []any{append(slices.Clip(list), "appended")}
	if len(list) > 0 {
		changed = append(changed, list[1:], append([]any{"prepended"}, list...))
	}
	return changed
}

func TestDecideImage_PatchTestsConfiguration(t *testing.T) {
	test := imageOverrides[0]
	test.annotations = []string{"image-list: web=nginx", "web.allow-tags: any"}
	before := test.document(t)
	patch := test.decide(t, before).Patch
	for path, value := range map[string]any{
		"/metadata/annotations/argocd-image-updater.argoproj.io~1image-list":     "web=nginx:~1.25",
		"/metadata/annotations/argocd-image-updater.argoproj.io~1web.allow-tags": "regexp:^v",
		"/metadata/annotations/argocd-image-updater.argoproj.io~1ignore-tags":    "1.26",
		"/status/summary/images": []string{"nginx:1.26"},
	} {
		now := mustApply(t, before, []operation{{Op: "add", Path: path, Value: value}})
		if _, err := apply(now, patch); err == nil {
			t.Errorf("the patch passed although %s became %v", path, value)
		}
	}
	elsewhere := mustApply(t, before, []operation{
		{Op: "add", Path: "/metadata/annotations/team", Value: "other"},
		{Op: "add", Path: "/spec/project", Value: "other"},
		{Op: "add", Path: "/status/summary/externalURLs", Value: []string{"https://other.example.com"}},
	})
	if _, err := apply(elsewhere, patch); err != nil {
		t.Errorf("the patch failed although nothing changed that it depends on: %v", err)
	}
}

func TestDecideImage_DoesNotModifyObject(t *testing.T) {
	for _, test := range imageOverrides {
		t.Run(test.name, func(t *testing.T) {
			read := parse(t, postern.TargetApplication, test.document(t))
			before := read.DeepCopyObject()
			test.decideOn(t, read)
			if diff := cmp.Diff(before, read); diff != "" {
				t.Errorf("(-before +after):\n%s", diff)
			}
		})
	}
}

func TestDecideImage_SameForTransformedObject(t *testing.T) {
	for _, test := range imageOverrides {
		t.Run(test.name, func(t *testing.T) {
			read := parse(t, postern.TargetApplication, test.document(t))
			whole := test.decideOn(t, read)
			trim(t, read)
			trimmed := test.decideOn(t, read)
			if diff := cmp.Diff(whole, trimmed, cmpopts.IgnoreUnexported(operation{})); diff != "" {
				t.Errorf("(-whole +trimmed):\n%s", diff)
			}
		})
	}
}

func TestDecideImage_AnnotatesOtherDigest(t *testing.T) {
	test := imageCase{spec: `{"source": {"repoURL": "https://git.acme.io/shop"}}`, pushed: "nginx:1.26"}
	before := mustApply(t, test.document(t), test.decide(t, test.document(t)).Patch)
	test.pushed = "nginx:1.26@" + newDigest
	got := test.decide(t, before)
	want := []Change{{Field: "postern.dev/requested-ref", Old: "nginx:1.26", New: test.pushed}}
	if diff := cmp.Diff(want, got.Changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	request := test.request(t)
	request.At = noon.Add(time.Hour)
	after := mustApply(t, before, got.Patch)
	expectPatch(t, "null", decide(t, parse(t, postern.TargetApplication, after), request).Patch)
}
