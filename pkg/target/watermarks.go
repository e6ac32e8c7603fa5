// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"crypto/sha256"
	"encoding/hex"
	"sync"

	"k8s.io/utils/lru"
)

const (
	// maxWatermarks bounds of how many targets it is remembered what came last; of more, those that were not delivered to
	// for longest are forgotten. One takes some 300 bytes for each of at most maxSlots slots.
	maxWatermarks = 4096
	// maxSlotBytes bounds the name under which a slot is remembered: a payload may name any repository.
	maxSlotBytes = 96
)

// watermarks remember, by target and slot, the last request that the target held: also one that changed nothing, of which
// the target itself tells nothing. It is safe for concurrent use.
type watermarks struct {
	mu   sync.Mutex
	last *lru.Cache // of Key to moments, which are never modified
}

func newWatermarks() *watermarks { return &watermarks{last: lru.New(maxWatermarks)} }

// of returns what is remembered of a target, which must not be modified.
func (w *watermarks) of(key Key) moments {
	last, _ := w.last.Get(key)
	kept, _ := last.(moments)
	return kept
}

// note remembers a request that a target holds, in some slots.
func (w *watermarks) note(key Key, r Request, slots ...string) {
	if r.Received.IsZero() || len(slots) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	kept := moments{}
	for slot, m := range w.of(key) {
		kept[slot] = m
	}
	for _, slot := range slots {
		slot = watermarkOf(slot)
		if last, known := kept[slot]; !known || last.Received.Before(r.Received) {
			kept.set(slot, r.moment())
		}
	}
	w.last.Add(key, kept)
}

// watermarkOf returns the name under which a slot is remembered: its own, unless that is long.
func watermarkOf(slot string) string {
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
