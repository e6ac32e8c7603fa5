// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/imageupdate"
)

func TestIfFollowed_CheckedAgainWhenWritten(t *testing.T) {
	const sync = `{"metadata": {"annotations": {"postern.dev/follow-tags": ">=1"}}, "spec": {"git": {"repo": ` +
		`"https://git.acme.io/shop.git"}}}`
	got := decide(t, parse(t, postern.TargetGatewaySync, sync), ifFollowed(tag("v2")))
	expectPatch(t, `[
		{"op": "test", "path": "/metadata/annotations/stoker.io~1requested-ref", "value": null},
		{"op": "test", "path": "/metadata/annotations/postern.dev~1requested-revision", "value": null},
		{"op": "test", "path": "/metadata/annotations/postern.dev~1follow-tags", "value": ">=1"},
		{"op": "test", "path": "/spec/git/repo", "value": "https://git.acme.io/shop.git"},
		{"op": "test", "path": "/spec/git/ref", "value": null},
		{"op": "test", "path": "/metadata/annotations/postern.dev~1deploy-on", "value": null},
		{"op": "test", "path": "/metadata/annotations/postern.dev~1event-time", "value": null},
		{"op": "test", "path": "/metadata/annotations/postern.dev~1hold", "value": null},
		{"op": "test", "path": "/metadata/annotations/stoker.io~1requested-at", "value": null},
		{"op": "test", "path": "/metadata/annotations/stoker.io~1requested-by", "value": null},
		{"op": "add", "path": "/metadata/annotations/stoker.io~1requested-ref", "value": "v2"},
		{"op": "add", "path": "/metadata/annotations/stoker.io~1requested-at", "value": "2026-03-01T12:00:00Z"},
		{"op": "add", "path": "/metadata/annotations/stoker.io~1requested-by", "value": "github"}]`, got.Patch)

	const app = `{"metadata": {"annotations": {"postern.dev/follow-tags": ">=1", "postern.dev/requested-ref": "v1"}},
		"spec": {"source": {"repoURL": "https://git.acme.io/shop.git", "targetRevision": "main"}}}`
	got = decide(t, parse(t, postern.TargetApplication, app), ifFollowed(tag("v2")))
	expectPatch(t, `[
		{"op": "test", "path": "/metadata/annotations/postern.dev~1requested-ref", "value": "v1"},
		{"op": "test", "path": "/metadata/annotations/postern.dev~1follow-tags", "value": ">=1"},
		{"op": "test", "path": "/spec/sourceHydrator", "value": null},
		{"op": "test", "path": "/spec/sources", "value": null},
		{"op": "test", "path": "/spec/source/repoURL", "value": "https://git.acme.io/shop.git"},
		{"op": "test", "path": "/spec/source/targetRevision", "value": "main"},
		{"op": "test", "path": "/spec/source/chart", "value": null},
		{"op": "test", "path": "/metadata/annotations/postern.dev~1deploy-on", "value": null},
		{"op": "test", "path": "/metadata/annotations/postern.dev~1update-target-revision", "value": null},
		{"op": "test", "path": "/metadata/annotations/postern.dev~1event-time", "value": null},
		{"op": "test", "path": "/metadata/annotations/postern.dev~1hold", "value": null},
		{"op": "test", "path": "/metadata/annotations/postern.dev~1requested-revision", "value": null},
		{"op": "test", "path": "/metadata/annotations/postern.dev~1requested-at", "value": null},
		{"op": "test", "path": "/metadata/annotations/postern.dev~1requested-by", "value": null},
		{"op": "test", "path": "/metadata/annotations/argocd.argoproj.io~1refresh", "value": null},
		{"op": "test", "path": "/metadata/annotations/argocd.argoproj.io~1refresh-timestamp", "value": null},
		{"op": "add", "path": "/metadata/annotations/postern.dev~1requested-ref", "value": "v2"},
		{"op": "add", "path": "/metadata/annotations/postern.dev~1requested-at", "value": "2026-03-01T12:00:00Z"},
		{"op": "add", "path": "/metadata/annotations/postern.dev~1requested-by", "value": "github"},
		{"op": "add", "path": "/metadata/annotations/argocd.argoproj.io~1refresh", "value": "normal"},
		{"op": "add", "path": "/metadata/annotations/argocd.argoproj.io~1refresh-timestamp",
			"value": "2026-03-01T12:00:00.0000005Z"}]`, got.Patch)
}

func TestIfFollowed_LowerTagIsSuperseded(t *testing.T) {
	for kind, document := range map[postern.TargetKind]string{
		postern.TargetGatewaySync: `{"metadata": {"annotations": {"postern.dev/follow-tags": "*"}},
			"spec": {"git": {"repo": "https://git.acme.io/shop.git", "ref": "v1"}}}`,
		postern.TargetApplication: `{"metadata": {"annotations": {"postern.dev/follow-tags": "*"}},
			"spec": {"source": {"repoURL": "https://git.acme.io/shop.git", "targetRevision": "v1"}}}`,
	} {
		higher := decide(t, parse(t, kind, document), ifFollowed(tag("v3")))
		after := mustApply(t, document, higher.Patch)
		lower := decide(t, parse(t, kind, after), ifFollowed(tag("v2")))
		want := decision{Result: Result{Previous: "v3", Reason: ReasonNotFollowed,
			Message: "it does not follow the pushed ref, or holds a higher version"}}
		if diff := cmp.Diff(want, lower); diff != "" {
			t.Errorf("%s (-want +got):\n%s", kind, diff)
		}
		if named := decide(t, parse(t, kind, after), tag("v2")); len(named.Patch) == 0 {
			t.Errorf("%s: a request that names the target may go back, but got %+v", kind, named)
		}
	}
}

func TestIfFollowed_UnreadableConstraint(t *testing.T) {
	annotations := map[string]string{AnnotationFollowTags: "latest"}
	for _, obj := range []object{syncOf(annotations, "v1"), applicationOf(annotations, source(shop, "v1"))} {
		got := decide(t, obj, ifFollowed(tag("v2")))
		got.Previous = ""
		want := decision{Result: Result{Reason: imageupdate.ReasonInvalidConfiguration,
			Message: `postern.dev/follow-tags is "latest", which is not a semver constraint: ` +
				`improper constraint: "latest"`}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%T (-want +got):\n%s", obj, diff)
		}
	}
}

func TestIfFollowed_MovesOnlyFollowingSources(t *testing.T) {
	annotations := map[string]string{AnnotationUpdateTargetRevision: "true"}
	sources := applicationOf(annotations, source(shop, "v1"), source(shop, "main"), source(values, "main"))
	named := decide(t, sources, branch("main"))
	if want := (Change{Field: "spec.sources[0].targetRevision", Old: "v1", New: "main"}); named.Changes[1] != want {
		t.Errorf("by name: got %v", named.Changes)
	}
	followed := decide(t, sources, ifFollowed(branch("main")))
	want := []Change{{Field: "postern.dev/requested-ref", New: "main"}}
	if diff := cmp.Diff(want, followed.Changes); diff != "" {
		t.Errorf("by source (-want +got):\n%s", diff)
	}
}

func TestIfFollowed_KeepsNameOfBranch(t *testing.T) {
	annotations := map[string]string{AnnotationUpdateTargetRevision: "true"}
	for _, revision := range []string{"", "HEAD", "refs/heads/main"} {
		app := applicationOf(annotations, source(shop, revision))
		for _, r := range []Request{ifFollowed(defaultBranch("main")), defaultBranch("main")} {
			want := []Change{{Field: "postern.dev/requested-ref", New: "main"}}
			if diff := cmp.Diff(want, decide(t, app, r).Changes); diff != "" {
				t.Errorf("%q (-want +got):\n%s", revision, diff)
			}
		}
	}
}
