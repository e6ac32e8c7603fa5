// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"

	"postern.dev/postern/pkg/imageupdate"
)

// The target itself tells nothing of what it held already.
func TestWhatChangedNothingOutdatesWhatWasReceivedBeforeIt(t *testing.T) {
	for _, test := range []struct {
		name        string
		equal, slow Request
		want        string
	}{
		{"received before", event("v2", "generic", 0, 22), event("v1", "generic", 0, 21), ReasonSuperseded},
		{"received after", event("v2", "generic", 0, 22), event("v1", "generic", 0, 23), ReasonRequested},
		{"received before, of another sender", event("v2", "github", 9, 22), event("v1", "kargo", 0, 21), ReasonSuperseded},
		{"received before, happened after", event("v2", "github", 9, 22), event("v1", "github", 10, 21), ReasonRequested},
		{"received before, happened before", event("v2", "github", 9, 22), event("v1", "github", 8, 21), ReasonSuperseded},
		{"received before, on purpose", event("v2", "generic", 0, 22), onPurpose(event("v1", "generic", 0, 21)), ReasonRequested},
		{"received before, the same", event("v2", "generic", 0, 22), event("v2", "generic", 0, 21), ReasonSuperseded},
	} {
		for _, elsewhere := range []bool{false, true} {
			api := newFakeAPIServer(t, plantAfter(t, event("v2", "argocd", 0, 10)))
			writer, _ := newTestWriter(t, api, nil)
			if elsewhere {
				writer.Held(plant, test.equal)
			} else if got, err := writeOne(t.Context(), writer, plant, test.equal, false); err != nil || got.Reason != ReasonAlreadyRequested {
				t.Fatalf("%s: got %+v, %v; want AlreadyRequested", test.name, got, err)
			}
			_, before := api.seen()
			got, err := writeOne(t.Context(), writer, plant, test.slow, false)
			if err != nil || got.Reason != test.want {
				t.Errorf("%s, found elsewhere %v: got %+v, %v; want %s", test.name, elsewhere, got, err, test.want)
			}
			if _, after := api.seen(); test.want == ReasonSuperseded && after != before {
				t.Errorf("%s: the target was changed", test.name)
			}
		}
	}
}

// The target tells the receipt of what it holds, which is the earlier one if that happened later.
func TestWhatWasReceivedLastIsRememberedWhereWhatHappenedLastIsHeld(t *testing.T) {
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

func TestWhatIsWrittenTogetherWithItsLikeCountsForTheOrderToo(t *testing.T) {
	api := newFakeAPIServer(t, plantAt("v0"))
	writer, _ := newTestWriter(t, api, nil)
	// The one that happened later counts, though it was received before the other.
	got := told(writer.writeTogether(t.Context(), plant, []Request{event("v2", "github", 11, 21), event("v2", "github", 10, 23)}))
	if diff := cmp.Diff([]string{"Requested true", "AlreadyRequested true"}, got); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	if got := told(writer.writeTogether(t.Context(), plant, []Request{event("v1", "kargo", 0, 22)})); got[0] != "Superseded false" {
		t.Errorf("received in between: got %s", got[0])
	}
}

// An owner who removes the annotation has the next event count, whatever its time.
func TestWhatIsRememberedDoesNotOutdateWhatIsReceivedAfterIt(t *testing.T) {
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

// A target that was deleted and made anew tells nothing of what it was written for.
func TestATargetThatWasMadeAnewIsNotWrittenForWhatWasOverwrittenBefore(t *testing.T) {
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
	if got, err := writeOne(t.Context(), writer, plant, again(first), false); err != nil || got.Reason != ReasonSuperseded {
		t.Errorf("got %+v, %v; want Superseded", got, err)
	}
}

// Another process hears of what changed nothing only by the record of it, and that may take a while.
func TestWritersThatShareTargetsTellEachOtherOfWhatChangedNothing(t *testing.T) {
	for _, test := range []struct {
		name        string
		shared      bool
		equal, slow Request
		want        string
		wantPatches int
	}{
		{"received before", true, event("v2", "generic", 0, 22), event("v1", "generic", 0, 21), ReasonSuperseded, 1},
		{"received before, of another sender", true, event("v2", "github", 9, 22), event("v1", "kargo", 0, 21), ReasonSuperseded, 1},
		{"received before, happened after", true, event("v2", "github", 9, 22), event("v1", "github", 10, 21), ReasonRequested, 2},
		{"received after", true, event("v2", "generic", 0, 22), event("v1", "generic", 0, 23), ReasonRequested, 2},
		{"on purpose", true, event("v2", "generic", 0, 22), onPurpose(event("v1", "generic", 0, 21)), ReasonRequested, 2},
		{"received before, of writers that tell nobody", false, event("v2", "generic", 0, 22), event("v1", "generic", 0, 21), ReasonRequested, 1},
	} {
		api := newFakeAPIServer(t, plantAfter(t, event("v2", "argocd", 0, 10)))
		one, _ := newTestWriter(t, api, nil)
		two, _ := newTestWriter(t, api, nil)
		one.Shared, two.Shared = test.shared, test.shared
		if got, err := writeOne(t.Context(), two, plant, test.equal, false); err != nil || got.Reason != ReasonAlreadyRequested || len(got.Changes) > 0 {
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

// The other one writes between the read and the patch.
func TestWritersThatShareATargetRelyOnWhatTheyRead(t *testing.T) {
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

func TestWhatChangesNothingIsNotedOnceOnASharedTarget(t *testing.T) {
	shared := func(r Request) Request { r.Known.shared = true; return r }
	for name, target := range orderedTargets {
		after, _ := oneByOne(t, target.kind, target.document, event("v1", "github", 10, 20))
		for _, test := range []struct {
			name  string
			r     Request
			noted bool
		}{
			{"received later", shared(event("v1", "kargo", 0, 21)), true},
			{"received later, of an unknown time", shared(event("v1", "github", 0, 21)), true},
			{"received at the same time", shared(event("v1", "kargo", 0, 20)), false},
			{"of one writer", event("v1", "kargo", 0, 21), false},
		} {
			got := mustDecide(t, parse(t, target.kind, after), test.r)
			if !got.Held || len(got.Changes) > 0 || len(got.Patch) > 0 != test.noted {
				t.Errorf("%s, %s: got %+v", name, test.name, got)
			}
			if !test.noted {
				continue
			}
			slot := test.r.slot(target.kind)
			last := event("v1", "github", 10, 20).moment()
			noted := momentsOf(annotationsOf(t, parse(t, target.kind, mustApply(t, after, got.Patch))))
			if diff := cmp.Diff(moments{slot: last.followedBy(test.r)}, noted); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", name, test.name, diff)
			}
		}
		byHand := mustApply(t, after, []Operation{{Op: "remove", Path: annotationPath(AnnotationEventTime)}})
		if got := mustDecide(t, parse(t, target.kind, byHand), shared(event("v1", "kargo", 0, 21))); len(got.Patch) > 0 {
			t.Errorf("%s: a time was noted where none is kept: %+v", name, got.Patch)
		}
	}
}

func TestAnImageThatIsInUseIsNotedForWritersThatShareItsTarget(t *testing.T) {
	of := func(reference string, received int) Request {
		r := event("", "quay.io", 0, received)
		r.Image, r.Known.shared = image(t, reference), true
		return r
	}
	document, _ := oneByOne(t, KindApplication, newestBuild, of("nginx:b2", 10))
	_, reasons := oneByOne(t, KindApplication, document, of("nginx:b2", 30), of("nginx:b1", 20))
	if diff := cmp.Diff([]string{imageupdate.ReasonUpToDate, ReasonSuperseded}, reasons); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func annotationsOf(t *testing.T, obj runtime.Object) map[string]string {
	t.Helper()
	accessor, err := meta.Accessor(obj)
	if err != nil {
		t.Fatal(err)
	}
	return accessor.GetAnnotations()
}

func TestADryRunIsNotRemembered(t *testing.T) {
	writer, _ := newTestWriter(t, newFakeAPIServer(t, plantAt("v0")), nil)
	if _, err := writeOne(t.Context(), writer, plant, event("v2", "github", 0, 32), true); err != nil {
		t.Fatal(err)
	}
	if kept := writer.held.of(plant); len(kept) > 0 {
		t.Errorf("remembers %v", kept)
	}
}

func TestWhatIsRememberedOfATargetIsBounded(t *testing.T) {
	w := newWatermarks(maxWatermarks)
	for slot := range 2 * maxSlots {
		w.note(plant, event("v1", "github", 0, 1+slot), fmt.Sprint(slotGit, "/", strings.Repeat("x", 1<<10), slot))
	}
	kept := w.of(plant)
	if len(kept) != maxSlots || w.slots != maxSlots {
		t.Errorf("%d slots are remembered, and %d counted, want %d", len(kept), w.slots, maxSlots)
	}
	for slot := range kept {
		if len(slot) > maxSlotBytes || !isGitSlot(slot) {
			t.Errorf("a slot is remembered as %q", slot)
		}
	}
}

// targetsOf are targets of a namespace.
func targetsOf(namespace string, count int) (keys []Key) {
	for i := range count {
		keys = append(keys, Key{Kind: KindApplication, Namespace: namespace, Name: fmt.Sprint("app", i)})
	}
	return keys
}

// remembered returns of how many targets something is remembered.
func (w *watermarks) remembered(keys []Key) (count int) {
	for _, key := range keys {
		if len(w.of(key)) > 0 {
			count++
		}
	}
	return count
}

func TestWhoeverHasMostTargetsForgetsFirst(t *testing.T) {
	const bound = 100
	w := newWatermarks(bound)
	small, large, larger := targetsOf("small", 10), targetsOf("large", 30), targetsOf("larger", 1000)
	for at, keys := range [][]Key{small, large, larger} {
		for _, key := range keys {
			w.note(key, event("v1", "github", 0, 1+at), slotGit)
		}
	}
	if got := w.remembered(small); got != len(small) {
		t.Errorf("%d targets of the smallest are remembered, want all %d", got, len(small))
	}
	if got := w.remembered(large); got != len(large) {
		t.Errorf("%d targets of the next are remembered, want all %d", got, len(large))
	}
	if got, want := w.remembered(larger), bound-len(small)-len(large); got != want || w.slots != bound {
		t.Errorf("%d targets of the largest are remembered, want %d; %d slots in all", got, want, w.slots)
	}
	other := targetsOf("other", 40)
	for _, key := range other {
		w.note(key, event("v1", "github", 0, 9), slotGit)
	}
	got := []int{w.remembered(small), w.remembered(large), w.remembered(larger), w.remembered(other)}
	if diff := cmp.Diff([]int{10, 30, 30, 30}, got); diff != "" {
		t.Errorf("after another came (-want +got):\n%s", diff)
	}
}

// Records are listed by their names at first, not in the order in which they came in.
func TestInWhateverOrderItIsToldTheNewestIsRemembered(t *testing.T) {
	const bound = 50
	keys, r := targetsOf("demo", 4*bound), rand.New(rand.NewPCG(17, 18))
	w := newWatermarks(bound)
	for _, i := range r.Perm(len(keys)) {
		w.note(keys[i], event("v1", "github", 0, 1+i), slotGit)
	}
	for i, key := range keys {
		if known := len(w.of(key)) > 0; known != (i >= len(keys)-bound) {
			t.Errorf("target %d of %d is remembered: %v", i, len(keys), known)
		}
	}
	again := len(keys) - bound // the oldest
	w.note(keys[again], event("v1", "github", 0, 1000), slotGit)
	w.note(keys[0], event("v1", "github", 0, 1001), slotGit)
	if w.remembered(keys[again:again+1]) != 1 || w.remembered(keys[again+1:again+2]) != 0 || w.remembered(keys[:1]) != 1 {
		t.Error("a target that was delivered to again is as new as that")
	}
}

func TestSlotsAreCountedNotTargets(t *testing.T) {
	w := newWatermarks(10)
	for i, key := range targetsOf("demo", 3) {
		for slot := range 4 {
			w.note(key, event("v1", "github", 0, 1+i), fmt.Sprint("git/", slot))
		}
	}
	if got := w.remembered(targetsOf("demo", 3)); got != 2 || w.slots != 8 {
		t.Errorf("%d targets and %d slots are remembered", got, w.slots)
	}
}

func TestWatermarksOfManyNamespacesAreCountedRight(t *testing.T) {
	r := rand.New(rand.NewPCG(19, 20))
	w := newWatermarks(60)
	for range 5000 {
		key := Key{Kind: KindApplication, Namespace: fmt.Sprint("ns", r.IntN(5)), Name: fmt.Sprint("app", r.IntN(30))}
		w.note(key, event("v1", "github", 0, 1+r.IntN(500)), fmt.Sprint("git/", r.IntN(maxSlots+5)))
		all := 0
		for name, n := range w.namespaces {
			inNamespace := 0
			for key, m := range n.targets {
				if inNamespace += len(m.kept); key.Namespace != name {
					t.Fatalf("%s is remembered in %s", key, name)
				}
			}
			if all += inNamespace; inNamespace != n.slots || len(n.targets) != len(n.byAge) || inNamespace == 0 {
				t.Fatalf("%s: %d slots, %d counted; %d targets, %d in order", name, inNamespace, n.slots, len(n.targets), len(n.byAge))
			}
		}
		if all != w.slots || all > 60 {
			t.Fatalf("%d slots, %d counted", all, w.slots)
		}
	}
}

func TestTheTargetsOfOneNamespaceDoNotMakeAnotherForget(t *testing.T) {
	api := newFakeAPIServer(t, plantAfter(t, event("v2", "argocd", 0, 10)))
	writer, _ := newTestWriter(t, api, nil)
	if got, err := writeOne(t.Context(), writer, plant, event("v2", "generic", 0, 22), false); err != nil || got.Reason != ReasonAlreadyRequested {
		t.Fatalf("got %+v, %v", got, err)
	}
	for _, key := range targetsOf("hostile", maxWatermarks+1) {
		writer.Held(key, event("v1", "generic", 0, 30))
	}
	got, err := writeOne(t.Context(), writer, plant, event("v1", "generic", 0, 21), false)
	if err != nil || got.Reason != ReasonSuperseded {
		t.Errorf("received before what was held already: got %+v, %v", got, err)
	}
}

// BenchmarkWatermarksWhenFull notes one target more in each of many namespaces.
func BenchmarkWatermarksWhenFull(b *testing.B) {
	w, n := newWatermarks(maxWatermarks), 0
	next := func() {
		key := Key{Kind: KindApplication, Namespace: fmt.Sprint("ns", n%2000), Name: fmt.Sprint("app", n)}
		w.note(key, event("v1", "github", 0, 1+n), slotGit)
		n++
	}
	for w.slots < maxWatermarks {
		next()
	}
	b.ReportAllocs()
	for b.Loop() {
		next()
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

// A record tells the name of an image, and not for which alias it was wanted.
func TestAnImageThatWasHeldElsewhereOutdatesIfItHasOneAlias(t *testing.T) {
	of := func(reference string, r Request) Request { r.Image = image(t, reference); return r }
	for reference, want := range map[string]bool{"nginx:b0": true, "postgres:r2": false} {
		w := &Writer{clock: NewClock(time.Now), held: newWatermarks(maxWatermarks)}
		name, _, _ := strings.Cut(reference, ":")
		key := Key{Kind: KindApplication, Namespace: "demo", Name: "shop"}
		w.Held(key, of(name+":b1", event("b1", "harbor", 0, 2)))
		late := w.informed(key, []Request{of(reference, event("", "harbor", 0, 1))})[0]
		got := mustDecide(t, parse(t, KindApplication, newestBuild), late)
		if superseded := got.Reason == ReasonSuperseded; superseded != want {
			t.Errorf("%s: got %+v", reference, got.Outcome)
		}
	}
}
