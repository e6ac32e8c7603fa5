// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"cmp"
	"container/heap"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"time"

	"postern.dev/postern/apis/postern"
)

const (
	// maxCachedTargets bounds the slots of all targets in the cache. They take at most about 28 MiB: 450 bytes for the
	// first slot of a target, and less for further ones.
	maxCachedTargets = 65536
	// maxSlotBytes bounds the name of a slot in the cache: a payload may name any repository.
	maxSlotBytes = 96
)

// watermarkCache remembers, by target and slot, the last request that the target held, also if it changed nothing and
// is not recorded on the target. If the cache is full it evicts from the namespace with the most slots the target whose
// last request was received first, regardless of the order in which they were recorded. It is safe for concurrent use.
type watermarkCache struct {
	bound int // of slots

	mu         sync.Mutex
	slots      int
	namespaces map[string]*namespaceMarks
}

// namespaceMarks has the marks of one namespace.
type namespaceMarks struct {
	slots   int
	targets map[postern.TargetKey]*mark
	byAge   marksByAge
}

// mark is the watermarks of one target.
type mark struct {
	key    postern.TargetKey
	kept   []markedSlot // a map would take several times the memory
	newest time.Time    // receipt in kept
	place  int          // in marksByAge
}

type markedSlot struct {
	slot string
	watermark
}

func newWatermarkCache(bound int) *watermarkCache {
	return &watermarkCache{bound: bound, namespaces: map[string]*namespaceMarks{}}
}

// get returns the watermarks of a target.
func (w *watermarkCache) get(key postern.TargetKey) watermarkSet {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, ok := w.namespaces[key.Namespace]
	if !ok || n.targets[key] == nil {
		return nil
	}
	m := n.targets[key]
	kept := make(watermarkSet, len(m.kept))
	for _, s := range m.kept {
		kept[s.slot] = s.watermark
	}
	return kept
}

// record records a request that a target holds in some slots.
func (w *watermarkCache) record(key postern.TargetKey, r Request, slots ...string) {
	if r.Received.IsZero() || len(slots) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	n, ok := w.namespaces[key.Namespace]
	if !ok {
		n = &namespaceMarks{targets: map[postern.TargetKey]*mark{}}
		w.namespaces[key.Namespace] = n
	}
	m, ok := n.targets[key]
	if !ok {
		m = &mark{key: key}
		n.targets[key] = m
		heap.Push(&n.byAge, m)
	}
	before := len(m.kept)
	m.note(r, slots)
	heap.Fix(&n.byAge, m.place)
	w.count(n, len(m.kept)-before)
	for w.slots > w.bound {
		w.forget(w.largest())
	}
}

func (m *mark) note(r Request, slots []string) {
	for _, slot := range slots {
		slot = slotKey(slot)
		at := slices.IndexFunc(m.kept, func(s markedSlot) bool { return s.slot == slot })
		switch {
		case at < 0:
			m.kept = append(m.kept, markedSlot{slot, r.watermark()})
		case m.kept[at].Received.Before(r.Received):
			m.kept[at].watermark = m.kept[at].followedBy(r)
		default:
			m.kept[at].precededBy(r)
		}
		if len(m.kept) > maxSlots {
			oldest := slices.MinFunc(m.kept, compareSlots)
			m.kept = slices.DeleteFunc(m.kept, func(s markedSlot) bool { return s.slot == oldest.slot })
		}
	}
	m.newest = slices.MaxFunc(m.kept, compareSlots).Received
}

// compareSlots orders slots by receipt.
func compareSlots(a, b markedSlot) int {
	return cmp.Or(a.Received.Compare(b.Received), strings.Compare(a.slot, b.slot))
}

func (w *watermarkCache) count(n *namespaceMarks, slots int) {
	n.slots += slots
	w.slots += slots
}

// largest returns the namespace with the most slots, and among equals the one with the oldest target.
func (w *watermarkCache) largest() (name string) {
	var most *namespaceMarks
	for candidate, n := range w.namespaces {
		if most == nil || n.slots > most.slots ||
			n.slots == most.slots && n.byAge[0].newest.Before(most.byAge[0].newest) {
			name, most = candidate, n
		}
	}
	return name
}

// forget evicts the oldest target of a namespace.
func (w *watermarkCache) forget(namespace string) {
	n := w.namespaces[namespace]
	m, _ := heap.Pop(&n.byAge).(*mark)
	delete(n.targets, m.key)
	w.count(n, -len(m.kept))
	if len(n.targets) == 0 {
		delete(w.namespaces, namespace)
	}
}

// marksByAge is a heap.Interface of marks by newest receipt, oldest first.
type marksByAge []*mark

func (h marksByAge) Len() int           { return len(h) }
func (h marksByAge) Less(i, j int) bool { return h[i].newest.Before(h[j].newest) }

func (h marksByAge) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *marksByAge) Push(x any) {
	m, _ := x.(*mark)
	m.place = len(*h)
	*h = append(*h, m)
}

func (h *marksByAge) Pop() any {
	last := (*h)[len(*h)-1]
	(*h)[len(*h)-1] = nil
	*h = (*h)[:len(*h)-1]
	return last
}

// slotKey returns the name of a slot in the cache: its own, or a digest if that is long.
func slotKey(slot string) string {
	if len(slot) <= maxSlotBytes {
		return slot
	}
	digest := sha256.Sum256([]byte(slot))
	short := hex.EncodeToString(digest[:])
	if isGitSlot(slot) {
		return slotGit + "/" + short
	}
	return short
}
