// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern"
)

// The target does not record a request that it held already.
func TestWatermarkCache_UnchangedOutdatesEarlier(t *testing.T) {
	for _, test := range []struct {
		name        string
		equal, slow Request
		want        string
	}{
		{"received before", event("v2", "generic", 0, 22), event("v1", "generic", 0, 21), ReasonSuperseded},
		{"received after", event("v2", "generic", 0, 22), event("v1", "generic", 0, 23), ReasonRequested},
		{"received before, of another sender", event("v2", "github", 9, 22), event("v1", "kargo", 0, 21),
			ReasonSuperseded},
		{"received before, happened after", event("v2", "github", 9, 22), event("v1", "github", 10, 21),
			ReasonRequested},
		{"received before, happened before", event("v2", "github", 9, 22), event("v1", "github", 8, 21),
			ReasonSuperseded},
		{"received before, on purpose", event("v2", "generic", 0, 22), onPurpose(event("v1", "generic", 0, 21)),
			ReasonRequested},
		{"received before, the same", event("v2", "generic", 0, 22), event("v2", "generic", 0, 21), ReasonSuperseded},
	} {
		for _, elsewhere := range []bool{false, true} {
			api := newFakeAPIServer(t, plantAfter(t, event("v2", "argocd", 0, 10)))
			writer, _ := newTestWriter(t, api, nil)
			if elsewhere {
				writer.RecordHeld(plant, test.equal)
			} else if got, err := writeOne(t.Context(), writer, plant, test.equal, false); err != nil ||
				got.Reason != ReasonAlreadyRequested {
				t.Fatalf("%s: got %+v, %v; want AlreadyRequested", test.name, got, err)
			}
			_, before := api.seen()
			got, err := writeOne(t.Context(), writer, plant, test.slow, false)
			if err != nil || got.Reason != test.want {
				t.Errorf("%s, held in another process %v: got %+v, %v; want %s", test.name, elsewhere, got, err,
					test.want)
			}
			if _, after := api.seen(); test.want == ReasonSuperseded && after != before {
				t.Errorf("%s: the target was changed", test.name)
			}
		}
	}
}

// The target records the receipt of what it holds, which is the earlier receipt if that event happened later.
func TestWatermarkCache_LatestReceiptWithLatestEvent(t *testing.T) {
	api := newFakeAPIServer(t, plantAt("v0"))
	writer, _ := newTestWriter(t, api, nil)
	happenedLast := event("v2", "github", 11, 21)
	for _, test := range []struct {
		r    Request
		want string
	}{
		{event("v1", "github", 10, 30), ReasonRequested},
		{happenedLast, ReasonRequested},
		{event("v3", "kargo", 0, 25), ReasonSuperseded},
		{again(happenedLast), ReasonAlreadyRequested},
		{event("v4", "kargo", 0, 31), ReasonRequested},
	} {
		if got, err := writeOne(t.Context(), writer, plant, test.r, false); err != nil || got.Reason != test.want {
			t.Errorf("%s: got %+v, %v; want %s", test.r.Ref, got, err, test.want)
		}
	}
}

func TestWatermarkCache_BatchedRequestsCount(t *testing.T) {
	api := newFakeAPIServer(t, plantAt("v0"))
	writer, _ := newTestWriter(t, api, nil)
	// The later event wins, although it was received before the other.
	got := summarize(writer.writeBatch(t.Context(), plant,
		[]Request{event("v2", "github", 11, 21), event("v2", "github", 10, 23)}))
	if diff := cmp.Diff([]string{"Requested true", "AlreadyRequested true"}, got); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	if got := summarize(writer.writeBatch(t.Context(), plant,
		[]Request{event("v1", "kargo", 0, 22)})); got[0] != "Superseded false" {
		t.Errorf("received in between: got %s", got[0])
	}
}

// After the owner removes the annotation the next event is written, regardless of its time.
func TestWatermarkCache_DoesNotOutdateLater(t *testing.T) {
	api := newFakeAPIServer(t, plantAt("v0"))
	writer, _ := newTestWriter(t, api, nil)
	if _, err := writeOne(t.Context(), writer, plant, event("v2", "github", 30, 31), false); err != nil {
		t.Fatal(err)
	}
	api.mu.Lock()
	api.object = plantAt("v2")
	api.mu.Unlock()
	got, err := writeOne(t.Context(), writer, plant, event("v1", "github", 10, 32), false)
	if err != nil || got.Reason != ReasonRequested {
		t.Errorf("got %+v, %v; want Requested", got, err)
	}
}

// A target that was deleted and created again has no record of its requests.
func TestWatermarkCache_RecreatedTarget(t *testing.T) {
	api := newFakeAPIServer(t, plantAt("v0"))
	writer, _ := newTestWriter(t, api, nil)
	first := event("v1", "github", 0, 31)
	for _, r := range []Request{first, event("v2", "github", 0, 32)} {
		if _, err := writeOne(t.Context(), writer, plant, r, false); err != nil {
			t.Fatal(err)
		}
	}
	api.mu.Lock()
	api.object = plantAt("v0")
	api.mu.Unlock()
	if got, err := writeOne(t.Context(), writer, plant, again(first), false); err != nil ||
		got.Reason != ReasonSuperseded {
		t.Errorf("got %+v, %v; want Superseded", got, err)
	}
}

func TestWatermarkCache_DryRunIsNotRemembered(t *testing.T) {
	writer, _ := newTestWriter(t, newFakeAPIServer(t, plantAt("v0")), nil)
	if _, err := writeOne(t.Context(), writer, plant, event("v2", "github", 0, 32), true); err != nil {
		t.Fatal(err)
	}
	if kept := writer.watermarks.get(plant); len(kept) > 0 {
		t.Errorf("remembers %v", kept)
	}
}

// newestBuild is an Application with two images, one of which has two aliases.
const newestBuild = `{"metadata": {"name": "shop", "annotations": {
	"argocd-image-updater.argoproj.io/image-list": "web=nginx, db=postgres, replica=postgres",
	"argocd-image-updater.argoproj.io/web.update-strategy": "newest-build",
	"argocd-image-updater.argoproj.io/db.update-strategy": "newest-build",
	"argocd-image-updater.argoproj.io/replica.update-strategy": "newest-build",
	"argocd-image-updater.argoproj.io/replica.allow-tags": "regexp:^r"}},
	"spec": {"source": {"repoURL": "https://git.acme.io/shop", "path": ".", "kustomize": {}}},
	"status": {"sourceType": "Kustomize", "summary": {"images": ["nginx:b1", "postgres:b1", "postgres:r1"]}}}`

// A record has the name of an image, but not the alias for which it was wanted.
func TestWatermarkCache_ImageHeldElsewhere(t *testing.T) {
	of := func(reference string, r Request) Request { return withImage(t, reference, r) }
	for reference, want := range map[string]bool{"nginx:b0": true, "postgres:r2": false} {
		w := &Writer{clock: NewClock(time.Now), watermarks: newWatermarkCache(maxCachedTargets)}
		name, _, _ := strings.Cut(reference, ":")
		key := postern.TargetKey{Kind: postern.TargetApplication, Namespace: "demo", Name: "shop"}
		w.RecordHeld(key, of(name+":b1", event("b1", "harbor", 0, 2)))
		state := planState{maxReceived: w.clock.maxReceived(), held: w.watermarks.get(key)}
		late := of(reference, event("", "harbor", 0, 1))
		got := decideIn(t, state, parse(t, postern.TargetApplication, newestBuild), late)
		if superseded := got.Reason == ReasonSuperseded; superseded != want {
			t.Errorf("%s: got %+v", reference, got.Result)
		}
	}
}
