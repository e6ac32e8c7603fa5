// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// trimmed is a target as the cache keeps it.
func trimmed(t *testing.T, kind Kind, document string) view {
	t.Helper()
	obj := parse(t, kind, document)
	if _, err := trim(obj); err != nil {
		t.Fatal(err)
	}
	return view{kind: kind, obj: obj}
}

func TestOnlyALiveReadMaySayThatThereIsNothingToDo(t *testing.T) {
	v1, v2 := event("v1", "github", 10, 11), event("v2", "github", 20, 21)
	for kind, document := range map[Kind]string{
		KindGatewaySync: orderedTargets["GatewaySync"].document,
		KindApplication: orderedTargets["Application"].document,
	} {
		document, _ := oneByOne(t, kind, document, v1)
		for name, requests := range map[string][]Request{
			"it is held already":                 {v1},
			"it comes too late":                  {event("v0", "github", 5, 30)},
			"it was written before":              {again(v1)},
			"it is held, and only later":         {event("v1", "github", 15, 16)},
			"the first is held already":          {v1, v2},
			"the second is, after the first":     {v2, v2},
			"the second comes late by the first": {v2, event("v3", "github", 15, 30)},
			"nobody wants it":                    {pushed(tag("v0"), 30, 31)},
			"only the last wants nothing":        {v2, event("v3", "github", 30, 31), event("v3", "github", 30, 31)},
		} {
			if got, err := planFor(trimmed(t, kind, document), requests, nil); !errors.Is(err, errUnsure) {
				t.Errorf("%s, %s: got %+v and error %v", kind, name, got, err)
			}
			live := view{kind: kind, obj: parse(t, kind, document), document: []byte(document)}
			if _, err := planFor(live, requests, nil); err != nil {
				t.Errorf("%s, %s, live: %v", kind, name, err)
			}
		}
		if _, err := planFor(trimmed(t, kind, document), []Request{v2, event("v3", "github", 30, 31)}, nil); err != nil {
			t.Errorf("%s, with something to do for each: %v", kind, err)
		}
	}
}

// The cache drops the annotations of others, so that it can't say whether the map is there.
func TestABatchIsPlannedLiveIfTheCacheKeepsTooLittleOfTheTarget(t *testing.T) {
	const document = `{"metadata": {"annotations": {"team": "a"}}, "spec": {"git": {"repo": "https://git.acme.io/shop"}}}`
	requests := []Request{event("v1", "github", 10, 11), event("v2", "github", 20, 21)}
	if _, err := planFor(trimmed(t, KindGatewaySync, document), requests, nil); !errors.Is(err, errUnsure) {
		t.Errorf("a batch: got error %v", err)
	}
	got, err := planFor(trimmed(t, KindGatewaySync, document), requests[:1], nil)
	if err != nil {
		t.Fatal(err)
	}
	mustApply(t, document, got.patch)
}

func TestLaterStepsTestForJustWhatEarlierOnesLeave(t *testing.T) {
	document := imageCase{
		annotations: []string{"image-list: web=nginx, db=postgres", "web.update-strategy: newest-build"},
		tool:        "Kustomize", runs: []string{"nginx:1.0", "postgres:1.0"},
		spec: `{"source": {"repoURL": "https://git.acme.io/shop", "kustomize": {"images": []}}}`,
	}.document(t)
	live := view{kind: KindApplication, obj: parse(t, KindApplication, document), document: []byte(document)}
	got, err := planFor(live, []Request{
		imageEvent(t, "nginx:2", 0, 1), imageEvent(t, "postgres:1.1", 0, 2), event("feature/a&b<c>", "github", 0, 3), event("x", "github", 0, 4),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	tested := map[string][]any{}
	for _, operation := range got.patch {
		if operation.Op == "test" {
			tested[operation.Path] = append(tested[operation.Path], operation.Value)
		}
	}
	if diff := cmp.Diff([]any{[]any{}, []any{"nginx:2"}}, tested["/spec/source/kustomize/images"]); diff != "" {
		t.Errorf("the list (-want +tested):\n%s", diff)
	}
	want := []any{nil, "nginx:2", "postgres:1.1", "feature/a&b<c>"}
	if diff := cmp.Diff(want, tested["/metadata/annotations/postern.dev~1requested-ref"]); diff != "" {
		t.Errorf("the ref (-want +tested):\n%s", diff)
	}
	if got := kustomized(t, mustApply(t, document, got.patch)); got != "[nginx:2 postgres:1.1]" {
		t.Errorf("is to run %s", got)
	}
}

func TestABatchWithoutChangesHasNoPatch(t *testing.T) {
	document, _ := oneByOne(t, KindGatewaySync, orderedTargets["GatewaySync"].document, event("v1", "github", 10, 11))
	live := view{kind: KindGatewaySync, obj: parse(t, KindGatewaySync, document), document: []byte(document)}
	got, err := planFor(live, []Request{event("v1", "github", 10, 11), event("v0", "github", 5, 12)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var reasons []string
	for _, outcome := range got.outcomes {
		reasons = append(reasons, outcome.Reason)
	}
	if diff := cmp.Diff([]string{ReasonAlreadyRequested, ReasonSuperseded}, reasons); diff != "" || len(got.patch) > 0 {
		t.Errorf("(-want +got):\n%s\nand patch %v", diff, got.patch)
	}
}
