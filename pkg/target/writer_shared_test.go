// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/api/meta"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/imageupdate"
)

// Other processes learn of a request that changed nothing only from its record, which may take a while.
func TestSharedTarget_UnchangedIsNoted(t *testing.T) {
	for _, test := range []struct {
		name        string
		shared      bool
		equal, slow Request
		want        string
		wantPatches int
	}{
		{"received before", true, event("v2", "generic", 0, 22),
			event("v1", "generic", 0, 21), ReasonSuperseded, 1},
		{"received before, of another sender", true, event("v2", "github", 9, 22),
			event("v1", "kargo", 0, 21), ReasonSuperseded, 1},
		{"received before, happened after", true, event("v2", "github", 9, 22),
			event("v1", "github", 10, 21), ReasonRequested, 2},
		{"received after", true, event("v2", "generic", 0, 22),
			event("v1", "generic", 0, 23), ReasonRequested, 2},
		{"on purpose", true, event("v2", "generic", 0, 22),
			onPurpose(event("v1", "generic", 0, 21)), ReasonRequested, 2},
		{"received before, by writers that share nothing", false, event("v2", "generic", 0, 22),
			event("v1", "generic", 0, 21), ReasonRequested, 1},
	} {
		api := newFakeAPIServer(t, plantAfter(t, event("v2", "argocd", 0, 10)))
		one, _ := newTestWriter(t, api, nil)
		two, _ := newTestWriter(t, api, nil)
		one.Shared, two.Shared = test.shared, test.shared
		got, err := writeOne(t.Context(), two, plant, test.equal, false)
		if err != nil || got.Reason != ReasonAlreadyRequested || len(got.Changes) > 0 {
			t.Fatalf("%s: got %+v, %v", test.name, got, err)
		}
		if got, err := writeOne(t.Context(), one, plant, test.slow, false); err != nil || got.Reason != test.want {
			t.Errorf("%s: got %+v, %v; want %s", test.name, got, err, test.want)
		}
		if got := api.counts[http.MethodPatch]; got != test.wantPatches {
			t.Errorf("%s: got %d patches, want %d", test.name, got, test.wantPatches)
		}
	}
}

// The other Writer writes between the read and the patch.
func TestSharedTarget_ReliesOnWhatWasRead(t *testing.T) {
	api := newFakeAPIServer(t, plantAfter(t, event("v2", "argocd", 0, 10)))
	writer, _ := newTestWriter(t, api, nil)
	writer.Shared = true
	api.before = func(api *fakeAPIServer, method string, n int) *answer {
		if method == http.MethodPatch && n == 1 {
			api.set(plantAfter(t, event("v1", "generic", 0, 21)))
		}
		return nil
	}
	got, err := writeOne(t.Context(), writer, plant, event("v2", "generic", 0, 22), false)
	if err != nil || got.Reason != ReasonRequested {
		t.Errorf("got %+v, %v; want it to be written again", got, err)
	}
}

func TestSharedTarget_UnchangedIsNotedOnce(t *testing.T) {
	for name, target := range orderedTargets {
		after, _ := oneByOne(t, target.kind, target.document, event("v1", "github", 10, 20))
		for _, test := range []struct {
			name     string
			decide   func(testing.TB, object, Request) decision
			r        Request
			recorded bool
		}{
			{"received later", decideShared, event("v1", "kargo", 0, 21), true},
			{"received later, of an unknown time", decideShared, event("v1", "github", 0, 21), true},
			{"received at the same time", decideShared, event("v1", "kargo", 0, 20), false},
			{"of one writer", decide, event("v1", "kargo", 0, 21), false},
		} {
			got := test.decide(t, parse(t, target.kind, after), test.r)
			if !got.Held || len(got.Changes) > 0 || len(got.Patch) > 0 != test.recorded {
				t.Errorf("%s, %s: got %+v", name, test.name, got)
			}
			if !test.recorded {
				continue
			}
			slot := slotOf(target.kind, test.r)
			last := event("v1", "github", 10, 20).watermark()
			recorded := parseWatermarks(annotationsOf(t, parse(t, target.kind, mustApply(t, after, got.Patch))))
			if diff := cmp.Diff(watermarkSet{slot: last.followedBy(test.r)}, recorded,
				cmpopts.IgnoreFields(watermark{}, "Wrote")); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", name, test.name, diff)
			}
		}
		byHand := mustApply(t, after, []operation{{Op: "remove", Path: annotationPath(AnnotationEventTime)}})
		if got := decideShared(t, parse(t, target.kind, byHand),
			event("v1", "kargo", 0, 21)); len(got.Patch) > 0 {
			t.Errorf("%s: a time was recorded where none is kept: %+v", name, got.Patch)
		}
	}
}

func TestSharedTarget_UsedImageIsNoted(t *testing.T) {
	of := func(reference string, received int) Request {
		return withImage(t, reference, event("", "quay.io", 0, received))
	}
	document, _ := oneByOneIn(t, planState{shared: true}, postern.TargetApplication, newestBuild, of("nginx:b2", 10))
	_, reasons := oneByOneIn(t, planState{shared: true}, postern.TargetApplication, document, of("nginx:b2", 30),
		of("nginx:b1", 20))
	if diff := cmp.Diff([]string{imageupdate.ReasonUpToDate, ReasonSuperseded}, reasons); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func annotationsOf(t *testing.T, obj object) map[string]string {
	t.Helper()
	accessor, err := meta.Accessor(obj)
	if err != nil {
		t.Fatal(err)
	}
	return accessor.GetAnnotations()
}
