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
)

const (
	// maxCachedTargets bounds for how many slots of all targets it is remembered what came last. They take at most
	// some 27 MiB: 430 bytes for the first slot of a target, and less for further ones.
	maxCachedTargets = 65536
	// maxSlotBytes bounds the name under which a slot is remembered: a payload may name any repository.
	maxSlotBytes = 96
)

// watermarkCache remember, by target and slot, the last request that the target held: also one that changed nothing, of which
// the target itself tells nothing. If there are too many the namespace that has most forgets first, and of its targets
// the one whose last request was received first, in whatever order they were told. It is safe for concurrent use.
type watermarkCache struct {
	bound int // of slots

	mu         sync.Mutex
	slots      int
	namespaces map[string]*namespaceMarks
}

// namespaceMarks are those of one namespace.
type namespaceMarks struct {
	slots   int
	targets map[Key]*mark
	byAge   marksByAge
}

// mark is what is remembered of one target.
type mark struct {
	key    Key
	kept   []markedSlot // a map would take several times the room
	newest time.Time    // receipt of them
	place  int          // in marksByAge
}

type markedSlot struct {
	slot string
	watermark
}

func newWatermarkCache(bound int) *watermarkCache {
	return &watermarkCache{bound: bound, namespaces: map[string]*namespaceMarks{}}
}

// get returns what is remembered of a target.
func (w *watermarkCache) get(key Key) watermarkSet {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n, ok := w.namespaces[key.Namespace]; ok {
		return n.targets[key].moments()
	}
	return nil
}

func (m *mark) moments() watermarkSet {
	if m == nil {
		return nil
	}
	kept := make(watermarkSet, len(m.kept))
	for _, s := range m.kept {
		kept[s.slot] = s.watermark
	}
	return kept
}

// record remembers a request that a target holds, in some slots.
func (w *watermarkCache) record(key Key, r Request, slots ...string) {
	if r.Received.IsZero() || len(slots) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	n, ok := w.namespaces[key.Namespace]
	if !ok {
		n = &namespaceMarks{targets: map[Key]*mark{}}
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
			m.kept[at].watermark = r.watermark()
		}
		if len(m.kept) > maxSlots {
			oldest := slices.MinFunc(m.kept, compareSlots)
			m.kept = slices.DeleteFunc(m.kept, func(s markedSlot) bool { return s.slot == oldest.slot })
		}
	}
	m.newest = slices.MaxFunc(m.kept, compareSlots).Received
}

// compareSlots puts the one first that was written before another.
func compareSlots(a, b markedSlot) int {
	return cmp.Or(a.Received.Compare(b.Received), strings.Compare(a.slot, b.slot))
}

func (w *watermarkCache) count(n *namespaceMarks, slots int) {
	n.slots += slots
	w.slots += slots
}

// largest is the namespace that has most, and among equals the one whose oldest target is older.
func (w *watermarkCache) largest() (name string) {
	var most *namespaceMarks
	for candidate, n := range w.namespaces {
		if most == nil || n.slots > most.slots || n.slots == most.slots && n.byAge[0].newest.Before(most.byAge[0].newest) {
			name, most = candidate, n
		}
	}
	return name
}

// forget drops what a namespace was told longest ago.
func (w *watermarkCache) forget(namespace string) {
	n := w.namespaces[namespace]
	m, _ := heap.Pop(&n.byAge).(*mark)
	delete(n.targets, m.key)
	w.count(n, -len(m.kept))
	if len(n.targets) == 0 {
		delete(w.namespaces, namespace)
	}
}

// marksByAge is a heap, the one first whose newest receipt is oldest.
type marksByAge []*mark

// Len is how many targets there are.
func (h marksByAge) Len() int { return len(h) }

// Less puts the older one first.
func (h marksByAge) Less(i, j int) bool { return h[i].newest.Before(h[j].newest) }

// Swap exchanges two.
func (h marksByAge) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

// Push appends one.
func (h *marksByAge) Push(x any) {
	m, _ := x.(*mark)
	m.place = len(*h)
	*h = append(*h, m)
}

// Pop takes the last.
func (h *marksByAge) Pop() any {
	last := (*h)[len(*h)-1]
	(*h)[len(*h)-1] = nil
	*h = (*h)[:len(*h)-1]
	return last
}

// slotKey returns the name under which a slot is remembered: its own, unless that is long.
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
