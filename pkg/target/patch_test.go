// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"postern.dev/postern/apis/postern"
)

// Objects as the API server sends them, with fields that our types lack.
var (
	someAnnotations = []string{
		``,
		`"annotations": {},`,
		`"annotations": {"team": "a~b/c"},`,
		`"annotations": {"postern.dev/update-target-revision": "true", "argocd.argoproj.io/refresh": "hard"},`,
		`"annotations": {"postern.dev/update-target-revision": "true", "team": "shop", "postern.dev/follow-tags": ">=1",
			"postern.dev/requested-ref": "v1", "postern.dev/requested-revision": "1111",
			"postern.dev/requested-at": "2025-01-01T00:00:00Z", "postern.dev/requested-by": "a&b",
			"stoker.io/requested-ref": "v1", "stoker.io/requested-by": "<kargo>"},`,
	}
	someSpecs = []string{
		`{}`,
		`{"paused": false, "git": {"repo": "https://github.com/example/plant", "ref": "v1", "auth": {"token": {}}}}`,
		`{"source": {"repoURL": "https://github.com/example/shop?a=1&b=<2>", "path": "deploy", "helm": {"values": ` +
			`"a: 1"}}}`,
		`{"source": {"repoURL": "https://charts.example.com", "chart": "shop", "targetRevision": ""}}`,
		`{"source": {"repoURL": "https://github.com/example/shop", "targetRevision": "v1"}, "project": "default"}`,
		`{"sources": [
			{"repoURL": "git@github.com:example/shop.git", "targetRevision": "v1", "kustomize": {"images": ["a:1"]}},
			{"repoURL": "https://github.com/example/values", "ref": "values"},
			{"repoURL": "https://github.com/example/shop"}], "source": {"repoURL": "https://github.com/example/shop"}}`,
		`{"sources": [{"repoURL": "https://a.example.com/a"}, {"repoURL": "https://b.example.com/b"}]}`,
		`{"sourceHydrator": {"drySource": {"repoURL": "https://github.com/example/shop", "path": "p",
			"targetRevision": "v1"},
			"syncSource": {"targetBranch": "env/prod", "path": "shop"}}}`,
		`{"generators": [{"list": {"elements": []}}, {"git": {"repoURL": "https://github.com/example/shop",
			"revision": "v1", "directories": [{"path": "apps/*"}]}}], "template": {"spec": {"project": "default"}}}`,
		`{"generators": [{"matrix": {"generators": [{"clusters": {}}, {"merge": {"generators": [{"git": {
			"repoURL": "https://github.com/example/plant", "revision": ">=2", "files": [{"path": "a"}]}}]}}]}}]}`,
	}
	someRequests = []Request{
		{DeliveryEvent: &postern.DeliveryEvent{Ref: "v1", Source: "github"}, At: noon},
		{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2", Source: "github",
			Repository: "https://github.com/example/shop.git"}, At: noon},
		{DeliveryEvent: &postern.DeliveryEvent{Ref: "v1", Source: "gitlab",
			Repository: "ssh://git@github.com/example/shop", Revision: "1111"}, At: noon},
		{
			DeliveryEvent: &postern.DeliveryEvent{Ref: "feature/a&b<c>", Source: "generic",
				Repository: "https://github.com/example/shop", Revision: "2222"},
			At: noon,
		},
		{
			DeliveryEvent: &postern.DeliveryEvent{Ref: "v1", RefType: postern.RefTypeBranch, Source: "github",
				Repository: "https://github.com/example/shop"},
			IfFollowed: true, At: noon,
		},
		{
			DeliveryEvent: &postern.DeliveryEvent{Ref: "v3", RefType: postern.RefTypeTag, Source: "github",
				Repository: "https://github.com/example/shop"},
			IfFollowed: true, At: noon,
		},
		{
			DeliveryEvent: &postern.DeliveryEvent{Ref: "v3", RefType: postern.RefTypeTag, Source: "github",
				Repository: "https://github.com/example/plant"},
			IfFollowed: true, At: noon,
		},
	}
)

// everyDecision runs a check on every combination of the above.
func everyDecision(t *testing.T, check func(t *testing.T, document string, read object, r Request)) {
	for _, kind := range kindNames() {
		for a, annotations := range someAnnotations {
			for s, spec := range someSpecs {
				for i, request := range someRequests {
					t.Run(fmt.Sprintf("%s/annotations %d/spec %d/request %d", kind, a, s, i), func(t *testing.T) {
						document := fmt.Sprintf(`{"metadata": {%s "name": "x", "labels": {"a": "b"}}, "spec": %s, `+
							`"status": {"phase": "A&B"}}`,
							annotations, spec)
						check(t, document, parse(t, kind, document), request)
					})
				}
			}
		}
	}
}

func TestPatch_DecisionsAreIdempotent(t *testing.T) {
	everyDecision(t, func(t *testing.T, document string, read object, r Request) {
		first := decide(t, read, r)
		if got, want := len(first.Changes) > 0, len(first.Patch) > 0; got != want {
			t.Errorf("changes: %v, but a patch: %v", got, want)
		}
		r.At = r.At.Add(time.Hour)
		after := mustApply(t, document, first.Patch)
		second := decide(t, parse(t, kindOf(t, read), after), r)
		if kindOf(t, read) == postern.TargetApplication && first.Held {
			checkOnlyRefreshed(t, second)
			return
		}
		if kindOf(t, read) == postern.TargetApplicationSet && first.Held {
			return // each request is new
		}
		expectPatch(t, "null", second.Patch)
		want := ReasonAlreadyRequested
		if first.Reason == ReasonNotFollowed {
			want = ReasonNotFollowed
		}
		if second.Reason != want {
			t.Errorf("got reason %q", second.Reason)
		}
	})
}

// checkOnlyRefreshed fails the test unless a decision does nothing but to ask Argo CD again.
func checkOnlyRefreshed(t *testing.T, d decision) {
	t.Helper()
	for _, edit := range edits(d.Patch) {
		if key, _ := strings.CutPrefix(edit.Path, annotationsPath+"/"); !strings.HasPrefix(key,
			"argocd.argoproj.io~1") &&
			key != "postern.dev~1requested-at" {
			t.Errorf("the second request writes %+v", edit)
		}
	}
	if len(d.Changes) != 1 || d.Changes[0].Field != AnnotationRequestedAt || !d.Held {
		t.Errorf("the second request: got %+v", d.Result)
	}
}

func TestPatch_DecisionsDoNotModifyObject(t *testing.T) {
	everyDecision(t, func(t *testing.T, _ string, read object, r Request) {
		before := read.DeepCopyObject()
		decide(t, read, r)
		if diff := cmp.Diff(before, read); diff != "" {
			t.Errorf("(-before +after):\n%s", diff)
		}
	})
}

func TestPatch_DecisionsSameForTransformedObject(t *testing.T) {
	everyDecision(t, func(t *testing.T, _ string, read object, r Request) {
		whole := decide(t, read, r)
		trim(t, read)
		if diff := cmp.Diff(whole, decide(t, read, r), cmpopts.IgnoreUnexported(operation{})); diff != "" {
			t.Errorf("(-whole +trimmed):\n%s", diff)
		}
	})
}

func TestPatch_TouchesNothingElse(t *testing.T) {
	ours := map[string]bool{
		"stoker.io/requested-ref": true, "stoker.io/requested-at": true, "stoker.io/requested-by": true,
		"postern.dev/requested-ref": true, "postern.dev/requested-at": true, "postern.dev/requested-by": true,
		"postern.dev/requested-revision": true, "argocd.argoproj.io/refresh": true,
		"argocd.argoproj.io/refresh-timestamp": true, "argocd.argoproj.io/hydrate": true,
		"argocd.argoproj.io/hydrate-timestamp": true, "argocd.argoproj.io/application-set-refresh": true,
	}
	// The fields that we write, and the map that exists only because of them, are removed from both. The rest must be
	// equal.
	rest := func(document string) any {
		object := map[string]any{}
		if err := json.Unmarshal([]byte(document), &object); err != nil {
			t.Fatal(err)
		}
		metadata := object["metadata"].(map[string]any)
		if annotations, ok := metadata["annotations"].(map[string]any); ok {
			for key := range annotations {
				if ours[key] {
					delete(annotations, key)
				}
			}
			if len(annotations) == 0 {
				delete(metadata, "annotations")
			}
		}
		removeKey(object["spec"], "targetRevision")
		return object
	}
	everyDecision(t, func(t *testing.T, document string, read object, r Request) {
		after := mustApply(t, document, decide(t, read, r).Patch)
		if diff := cmp.Diff(rest(document), rest(after)); diff != "" {
			t.Errorf("(-before +after):\n%s", diff)
		}
	})
}

func TestPatch_FailsIfPreconditionChanged(t *testing.T) {
	everyDecision(t, func(t *testing.T, document string, read object, r Request) {
		patch := decide(t, read, r).Patch
		for _, test := range patch {
			if test.Op != "test" {
				continue
			}
			var changed any = "changed by others"
			if test.Path == annotationsPath {
				changed = map[string]string{"changed": "by others"}
			}
			meanwhile := mustApply(t, document, []operation{{Op: "add", Path: test.Path, Value: changed}})
			if _, err := apply(meanwhile, patch); err == nil {
				t.Errorf("the patch passed although %s changed", test.Path)
			}
		}
	})
}

func TestPatch_AnnotationPath(t *testing.T) {
	if got, want := annotationPath("example.com/a~b"), "/metadata/annotations/example.com~1a~0b"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestPatch_FailsIfSourcesMoved(t *testing.T) {
	for repository, sources := range map[string][2]string{
		"https://charts.acme.io":   {`"chart": "base"`, `"chart": "shop"`},
		"https://git.acme.io/shop": {`"path": "base"`, `"path": "shop"`},
	} {
		document := func(places ...int) string {
			var list []string
			for _, i := range places {
				list = append(list, `{"repoURL": "`+repository+`", "targetRevision": "v1", `+sources[i]+`}`)
			}
			return `{"metadata": {"name": "x", "annotations": {"postern.dev/update-target-revision": "true",
				"argocd-image-updater.argoproj.io/image-list": "nginx"}}, "spec": {"sources": [` +
				strings.Join(list, ",") + `]},
				"status": {"sourceTypes": ["Helm", "Helm"], "summary": {"images": ["nginx:1.25"]}}}`
		}
		for _, r := range []Request{
			{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2", Repository: repository}, At: noon},
			{DeliveryEvent: &postern.DeliveryEvent{Image: image(t, "nginx:1.26")}, At: noon},
		} {
			patch := decide(t, parse(t, postern.TargetApplication, document(0, 1)), r).Patch
			mustApply(t, document(0, 1), patch)
			if _, err := apply(document(1, 0), patch); err == nil {
				t.Errorf("%s: the patch passed although its sources were reordered:\n%s", repository, lines(t, patch))
			}
		}
	}
}

func TestPreconditions_UseValuesOfDocument(t *testing.T) {
	const document = `{"a~b/c": "", "list": [{"x": null, "n": 12345678901234567890}, "", false], "null": null}`
	patch := []operation{{Op: "add", Path: "/list/0", Value: "an edit stays"}}
	for _, path := range []string{
		"/a~0b~1c", "/list", "/list/0/n", "/list/1", "/list/2", "/null",
		"/missing", "/null/x", "/list/3", "/list/-1", "/list/-", "/a~0b~1c/x",
	} {
		patch = append(patch, operation{Op: "test", Path: path, Value: "what our types hold"})
	}
	got, err := exactTests(patch, []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	if patch[1].Value != "what our types hold" {
		t.Error("the patch itself was changed")
	}
	expectPatch(t, `[
		{"op": "add", "path": "/list/0", "value": "an edit stays"},
		{"op": "test", "path": "/a~0b~1c", "value": ""},
		{"op": "test", "path": "/list", "value": [{"x": null, "n": 12345678901234567890}, "", false]},
		{"op": "test", "path": "/list/0/n", "value": 12345678901234567890},
		{"op": "test", "path": "/list/1", "value": ""},
		{"op": "test", "path": "/list/2", "value": false},
		{"op": "test", "path": "/null", "value": null},
		{"op": "test", "path": "/missing", "value": null},
		{"op": "test", "path": "/null", "value": null},
		{"op": "test", "path": "/list/3", "value": null},
		{"op": "test", "path": "/list/-1", "value": null},
		{"op": "test", "path": "/list/-", "value": null},
		{"op": "test", "path": "/a~0b~1c/x", "value": null}]`, got)
	if encoded := encode(t, got[3].Value); encoded != "12345678901234567890" {
		t.Errorf("a number became %s", encoded)
	}
}

func TestPreconditions_RefuseUntestable(t *testing.T) {
	patch := []operation{{Op: "test", Path: "/images", Value: []string{"nginx:1", ""}}}
	if _, err := exactTests(patch, []byte(`{"images": ["nginx:1", null]}`)); !errors.Is(err, errNullItem) {
		t.Errorf("a list with null: got %v", err)
	}
	if _, err := exactTests(patch, []byte(`{"images"`)); err == nil {
		t.Error("no JSON: got no error")
	}
}
