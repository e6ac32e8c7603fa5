// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern"
)

func TestPlan_UnchangedNeedsLiveRead(t *testing.T) {
	v1, v2 := event("v1", "github", 10, 11), event("v2", "github", 20, 21)
	for kind, document := range map[postern.TargetKind]string{
		postern.TargetGatewaySync: orderedTargets["GatewaySync"].document,
		postern.TargetApplication: orderedTargets["Application"].document,
	} {
		document, _ := oneByOne(t, kind, document, v1)
		for name, requests := range map[string][]Request{
			"it is held already":                  {v1},
			"it is stale":                         {event("v0", "github", 5, 30)},
			"it was written before":               {again(v1)},
			"it is held, and only later":          {event("v1", "github", 15, 16)},
			"the first is held already":           {v1, v2},
			"the second is, after the first":      {v2, v2},
			"the second is stale after the first": {v2, event("v3", "github", 15, 30)},
			"it is unwanted":                      {pushed(tag("v0"), 30, 31)},
			"only the last wants nothing":         {v2, event("v3", "github", 30, 31), event("v3", "github", 30, 31)},
		} {
			got, err := planFor(t.Context(), trimmed(t, kind, document), requests, planState{})
			if !errors.Is(err, errCacheUncertain) {
				t.Errorf("%s, %s: got %+v and error %v", kind, name, got, err)
			}
			live := liveSnapshot(t, kind, document)
			if _, err := planFor(t.Context(), live, requests, planState{}); err != nil {
				t.Errorf("%s, %s, live: %v", kind, name, err)
			}
		}
		forEach := []Request{v2, event("v3", "github", 30, 31)}
		if _, err := planFor(t.Context(), trimmed(t, kind, document), forEach, planState{}); err != nil {
			t.Errorf("%s, with something to do for each: %v", kind, err)
		}
	}
}

// The cache drops other annotations. The map stays, and may be empty.
func TestPlan_CacheDropsOtherAnnotations(t *testing.T) {
	const document = `{"metadata": {"annotations": {"team": "a"}}, "spec": {"git": {"repo": ` +
		`"https://git.acme.io/shop"}}}`
	requests := []Request{event("v1", "github", 10, 11), event("v2", "github", 20, 21)}
	for count := range requests {
		got, err := planFor(t.Context(), trimmed(t, postern.TargetGatewaySync, document), requests[:count+1],
			planState{})
		if err != nil {
			t.Fatal(err)
		}
		if held := requestedIn(parse(t, postern.TargetGatewaySync,
			mustApply(t, document, got.patch))); held != requests[count].Ref {
			t.Errorf("holds %q after %d requests", held, count+1)
		}
	}
}

func TestPlan_TestsOnlyWhatWasRead(t *testing.T) {
	document := imageCase{
		annotations: []string{"image-list: web=nginx, db=postgres", "web.update-strategy: newest-build"},
		tool:        "Kustomize", runs: []string{"nginx:1.0", "postgres:1.0"},
		spec: `{"source": {"repoURL": "https://git.acme.io/shop", "kustomize": {"images": []}}}`,
	}.document(t)
	live := liveSnapshot(t, postern.TargetApplication, document)
	got, err := planFor(t.Context(), live, []Request{
		imageEvent(t, "nginx:2", 0, 1), imageEvent(t, "postgres:1.1", 0, 2),
		event("feature/a&b<c>", "github", 0, 3), event("x", "github", 0, 4),
	}, planState{})
	if err != nil {
		t.Fatal(err)
	}
	tested := map[string][]any{}
	for _, operation := range got.patch {
		if operation.Op == "test" {
			tested[operation.Path] = append(tested[operation.Path], operation.Value)
		}
	}
	if diff := cmp.Diff([]any{[]any{}}, tested["/spec/source/kustomize/images"]); diff != "" {
		t.Errorf("the list (-want +tested):\n%s", diff)
	}
	want := []any{nil}
	if diff := cmp.Diff(want, tested["/metadata/annotations/postern.dev~1requested-ref"]); diff != "" {
		t.Errorf("the ref (-want +tested):\n%s", diff)
	}
	if got := kustomized(t, mustApply(t, document, got.patch)); got != "[nginx:2 postgres:1.1]" {
		t.Errorf("will run %s", got)
	}
}

func TestPlan_NoChangeNoPatch(t *testing.T) {
	document, _ := oneByOne(t, postern.TargetGatewaySync, orderedTargets["GatewaySync"].document,
		event("v1", "github", 10, 11))
	live := liveSnapshot(t, postern.TargetGatewaySync, document)
	got, err := planFor(t.Context(), live, []Request{event("v1", "github", 10, 11), event("v0", "github", 5, 12)},
		planState{})
	if err != nil {
		t.Fatal(err)
	}
	var reasons []string
	for _, outcome := range got.decisions {
		reasons = append(reasons, outcome.Reason)
	}
	if diff := cmp.Diff([]string{ReasonAlreadyRequested, ReasonSuperseded}, reasons); diff != "" || len(got.patch) > 0 {
		t.Errorf("(-want +got):\n%s\nand patch %v", diff, got.patch)
	}
}

// endsAfter is a context that ends after Err was called a number of times.
type endsAfter struct {
	context.Context
	asked, times int
}

func (c *endsAfter) Err() error {
	if c.asked++; c.asked > c.times {
		return context.DeadlineExceeded
	}
	return nil
}

func TestPlan_EndsWithContext(t *testing.T) {
	document := orderedTargets["GatewaySync"].document
	var requests []Request
	for i := range 10 {
		requests = append(requests, event(fmt.Sprint("v", i), "github", 0, 1+i))
	}
	for _, planned := range []snapshot{
		liveSnapshot(t, postern.TargetGatewaySync, document),
		trimmed(t, postern.TargetGatewaySync, document),
	} {
		ctx := &endsAfter{Context: t.Context(), times: 4}
		got, err := planFor(ctx, planned, requests, planState{})
		if !errors.Is(err, context.DeadlineExceeded) || !isRetryable(err) || len(got.patch) > 0 {
			t.Errorf("got %+v, %v", got, err)
		}
		if ctx.asked != 5 {
			t.Errorf("asked %d times, want once before each of 4 planned requests and one that is not planned",
				ctx.asked)
		}
	}
}

// The cache, and concurrent plans, share the object.
func TestPlan_DoesNotModifyTarget(t *testing.T) {
	for _, target := range batchTargets {
		r := rand.New(rand.NewPCG(15, 16))
		for range 200 {
			document, _ := oneByOne(t, target.key.Kind, target.document, target.requests(t, r)...)
			obj := parse(t, target.key.Kind, document)
			before := obj.DeepCopyObject()
			requests := target.requests(t, r)
			live := snapshot{kind: mustKind(target.key.Kind), obj: obj, document: []byte(document)}
			planned, err := planFor(t.Context(), live, requests, planState{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, obj); diff != "" {
				t.Fatalf("%+v (-before +after):\n%s", requests, diff)
			}
			if _, err := apply(document, planned.patch); err != nil {
				t.Errorf("%+v: the patch does not apply to the object it was planned on: %v", requests, err)
			}
		}
	}
}

func TestPlan_ReadsEventTimesOnce(t *testing.T) {
	annotations := keptAt(manySlots(3).String())
	read := planState{}
	first := read.watermarks(annotations)
	first["only here"] = watermark{}
	if _, same := read.watermarks(annotations)["only here"]; !same {
		t.Error("the same annotation was read twice")
	}
	if got := read.watermarks(keptAt("{}")); len(got) > 0 {
		t.Errorf("another annotation is read as %v", got)
	}
	if got := (&planState{}).watermarks(annotations); len(got) != 3 {
		t.Errorf("in another plan: got %v", got)
	}
}

// BenchmarkPlan_ManyTags plans a push of 256 tags for one Application that wants none or all of them.
func BenchmarkPlan_ManyTags(b *testing.B) {
	for name, constraint := range map[string]string{"unwanted": ":~9", "wanted": ""} {
		b.Run(name, func(b *testing.B) {
			document := shopNow("1", `, "argocd-image-updater.argoproj.io/image-list": "web=nginx`+constraint+`"`)
			live := liveSnapshot(b, postern.TargetApplication, document)
			requests := manyTags(b)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := planFor(b.Context(), live, requests, planState{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPlan_LargeApplication plans the same push for an Application as large as owners may make it: 100 sources,
// and 200 KiB of other annotations.
func BenchmarkPlan_LargeApplication(b *testing.B) {
	for name, wanted := range map[string]string{
		"one image": `"argocd-image-updater.argoproj.io/image-list": "web=nginx"`,
		"the same build again and again": `"argocd-image-updater.argoproj.io/image-list": "web=nginx",
			"argocd-image-updater.argoproj.io/web.update-strategy": "newest-build"`,
		"many event times": `"argocd-image-updater.argoproj.io/image-list": "web=nginx",
			"argocd-image-updater.argoproj.io/web.update-strategy": "newest-build",
			"argocd-image-updater.argoproj.io/web.allow-tags": "regexp:^9",
			"postern.dev/event-time": ` + strconv.Quote(manySlots(2000).String()),
	} {
		b.Run(name, func(b *testing.B) {
			var sources, images, types []string
			for i := range maxSources {
				sources = append(sources,
					fmt.Sprintf(`{"repoURL": "https://git.acme.io/r%d", "path": "p", "targetRevision": "v1",
					"kustomize": {"images": ["nginx%d:1.2"]}}`, i, i))
				images, types = append(images, fmt.Sprintf(`"nginx%d:1.2"`, i)), append(types, `"Kustomize"`)
			}
			images = append(images, `"nginx:1.25"`)
			document := `{"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
				"metadata": {"namespace": "demo", "name": "shop", "annotations": {
					"team": "` + strings.Repeat("x", 200<<10) + `", ` + wanted + `}},
				"spec": {"sources": [` + strings.Join(sources, ",") + `]},
				"status": {"sourceTypes": [` + strings.Join(types, ",") + `],
				"summary": {"images": [` + strings.Join(images, ",") + `]}}}`
			live := liveSnapshot(b, postern.TargetApplication, document)
			requests := manyTags(b)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := planFor(b.Context(), live, requests, planState{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// manySlots are more watermarks than are kept, as an owner may write them.
func manySlots(count int) watermarkSet {
	many := watermarkSet{}
	for i := range count {
		many[fmt.Sprintf("image/%05d", i)] = watermark{By: "harbor", Received: noon.Add(time.Duration(i) * time.Second)}
	}
	return many
}

// manyTags are as many tags of an image as one webhook may name.
func manyTags(b *testing.B) (requests []Request) {
	for i := range 256 {
		pushed := image(b, fmt.Sprintf("nginx:2.%d", i))
		requests = append(requests, Request{DeliveryEvent: &postern.DeliveryEvent{Image: pushed, Source: "quay.io"},
			At: noon, Received: minute(i)})
	}
	return requests
}
