// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern"
)

func TestWatermarkCache_BoundedPerTarget(t *testing.T) {
	w := newWatermarkCache(maxCachedTargets)
	for slot := range 2 * maxSlots {
		w.record(plant, event("v1", "github", 0, 1+slot), fmt.Sprint(slotGit, "/", strings.Repeat("x", 1<<10), slot))
	}
	kept := w.get(plant)
	if len(kept) != maxSlots || w.slots != maxSlots {
		t.Errorf("%d slots are remembered, and %d counted, want %d", len(kept), w.slots, maxSlots)
	}
	for slot := range kept {
		if len(slot) > maxSlotBytes || !isGitSlot(slot) {
			t.Errorf("a slot is remembered as %q", slot)
		}
	}
}

// targetsOf returns targets in a namespace.
func targetsOf(namespace string, count int) (keys []postern.TargetKey) {
	for i := range count {
		keys = append(keys, postern.TargetKey{Kind: postern.TargetApplication, Namespace: namespace,
			Name: fmt.Sprint("app", i)})
	}
	return keys
}

// remembered returns how many of the targets have watermarks.
func (w *watermarkCache) remembered(keys []postern.TargetKey) (count int) {
	for _, key := range keys {
		if len(w.get(key)) > 0 {
			count++
		}
	}
	return count
}

func TestWatermarkCache_LargestNamespaceForgetsFirst(t *testing.T) {
	const bound = 100
	w := newWatermarkCache(bound)
	small, large, larger := targetsOf("small", 10), targetsOf("large", 30), targetsOf("larger", 1000)
	for at, keys := range [][]postern.TargetKey{small, large, larger} {
		for _, key := range keys {
			w.record(key, event("v1", "github", 0, 1+at), slotGit)
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
		w.record(key, event("v1", "github", 0, 9), slotGit)
	}
	got := []int{w.remembered(small), w.remembered(large), w.remembered(larger), w.remembered(other)}
	if diff := cmp.Diff([]int{10, 30, 30, 30}, got); diff != "" {
		t.Errorf("after another namespace was added (-want +got):\n%s", diff)
	}
}

// At first records are listed by name, not in the order of receipt.
func TestWatermarkCache_NewestInAnyOrder(t *testing.T) {
	const bound = 50
	keys, r := targetsOf("demo", 4*bound), rand.New(rand.NewPCG(17, 18))
	w := newWatermarkCache(bound)
	for _, i := range r.Perm(len(keys)) {
		w.record(keys[i], event("v1", "github", 0, 1+i), slotGit)
	}
	for i, key := range keys {
		if known := len(w.get(key)) > 0; known != (i >= len(keys)-bound) {
			t.Errorf("target %d of %d is remembered: %v", i, len(keys), known)
		}
	}
	again := len(keys) - bound // the oldest
	w.record(keys[again], event("v1", "github", 0, 1000), slotGit)
	w.record(keys[0], event("v1", "github", 0, 1001), slotGit)
	if w.remembered(keys[again:again+1]) != 1 || w.remembered(keys[again+1:again+2]) != 0 ||
		w.remembered(keys[:1]) != 1 {
		t.Error("a target with a new request was evicted as an old one")
	}
}

func TestWatermarkCache_CountsSlots(t *testing.T) {
	w := newWatermarkCache(10)
	for i, key := range targetsOf("demo", 3) {
		for slot := range 4 {
			w.record(key, event("v1", "github", 0, 1+i), fmt.Sprint("git/", slot))
		}
	}
	if got := w.remembered(targetsOf("demo", 3)); got != 2 || w.slots != 8 {
		t.Errorf("%d targets and %d slots are remembered", got, w.slots)
	}
}

func TestWatermarkCache_CountsNamespaces(t *testing.T) {
	r := rand.New(rand.NewPCG(19, 20))
	w := newWatermarkCache(60)
	for range 5000 {
		key := postern.TargetKey{Kind: postern.TargetApplication, Namespace: fmt.Sprint("ns", r.IntN(5)),
			Name: fmt.Sprint("app", r.IntN(30))}
		w.record(key, event("v1", "github", 0, 1+r.IntN(500)), fmt.Sprint("git/", r.IntN(maxSlots+5)))
		all := 0
		for name, n := range w.namespaces {
			inNamespace := 0
			for key, m := range n.targets {
				if inNamespace += len(m.kept); key.Namespace != name {
					t.Fatalf("%s is remembered in %s", key, name)
				}
			}
			if all += inNamespace; inNamespace != n.slots || len(n.targets) != len(n.byAge) || inNamespace == 0 {
				t.Fatalf("%s: %d slots, %d counted; %d targets, %d in order",
					name, inNamespace, n.slots, len(n.targets), len(n.byAge))
			}
		}
		if all != w.slots || all > 60 {
			t.Fatalf("%d slots, %d counted", all, w.slots)
		}
	}
}

func TestWatermarkCache_NamespacesAreIndependent(t *testing.T) {
	api := newFakeAPIServer(t, plantAfter(t, event("v2", "argocd", 0, 10)))
	writer, _ := newTestWriter(t, api, nil)
	equal := event("v2", "generic", 0, 22)
	if got, err := writeOne(t.Context(), writer, plant, equal, false); err != nil || !got.Held {
		t.Fatalf("got %+v, %v", got, err)
	}
	for _, key := range targetsOf("hostile", maxCachedTargets+1) {
		writer.RecordHeld(key, event("v1", "generic", 0, 30))
	}
	got, err := writeOne(t.Context(), writer, plant, event("v1", "generic", 0, 21), false)
	if err != nil || got.Reason != ReasonSuperseded {
		t.Errorf("received before the request that was already held: got %+v, %v", got, err)
	}
}

// BenchmarkWatermarkCache_Full records one more target in each of many namespaces.
func BenchmarkWatermarkCache_Full(b *testing.B) {
	w, n := newWatermarkCache(maxCachedTargets), 0
	next := func() {
		key := postern.TargetKey{Kind: postern.TargetApplication, Namespace: fmt.Sprint("ns", n%2000),
			Name: fmt.Sprint("app", n)}
		w.record(key, event("v1", "github", 0, 1+n), slotGit)
		n++
	}
	for w.slots < maxCachedTargets {
		next()
	}
	b.ReportAllocs()
	for b.Loop() {
		next()
	}
}
