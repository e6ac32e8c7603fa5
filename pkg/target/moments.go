// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// AnnotationEventTime says which event a target was last written for: a JSON
// object with one member per slot, which is whatever one event takes from another
// (the git ref of a repository, an image under its alias). An event that comes in
// late is told by it.
const AnnotationEventTime = "postern.dev/event-time"

// maxSlots bounds the annotation; of more, those written longest ago are forgotten.
const maxSlots = 20

// moments are the contents of AnnotationEventTime, by slot.
type moments map[string]moment

// momentsOf reads the annotation. What is not ours to understand counts as absent.
func momentsOf(annotations map[string]string) moments {
	kept := moments{}
	if err := json.Unmarshal([]byte(annotations[AnnotationEventTime]), &kept); err != nil || kept == nil {
		return moments{}
	}
	return kept
}

// lastRead remembers what momentsOf made of an annotation, which its owner may make large,
// for several decisions that ask several times each.
type lastRead struct {
	annotation string
	moments    moments
}

// momentsOf is momentsOf of annotations. What it returns must not be modified.
func (k Knowledge) momentsOf(annotations map[string]string) moments {
	if k.kept == nil {
		return momentsOf(annotations)
	}
	if now := annotations[AnnotationEventTime]; k.kept.moments == nil || k.kept.annotation != now {
		*k.kept = lastRead{now, momentsOf(annotations)}
	}
	return k.kept.moments
}

// note takes note of a request that is written to a slot.
func (kept moments) note(slot string, r Request) { kept.set(slot, kept[slot].followedBy(r)) }

// set sets a slot, in place of those that were written longest ago if there are too many.
func (kept moments) set(slot string, m moment) {
	kept[slot] = m
	switch excess := len(kept) - maxSlots; {
	case excess == 1: // as a rule
		delete(kept, kept.oldest())
	case excess > 1: // what an owner wrote
		for _, slot := range slices.SortedFunc(maps.Keys(kept), kept.compare)[:excess] {
			delete(kept, slot)
		}
	}
}

// oldest is the slot that was written longest ago.
func (kept moments) oldest() (oldest string) {
	first := true
	for slot := range kept {
		if first || kept.compare(slot, oldest) < 0 {
			oldest, first = slot, false
		}
	}
	return oldest
}

// compare puts the slot first that was written before another.
func (kept moments) compare(a, b string) int {
	return cmp.Or(kept[a].Received.Compare(kept[b].Received), strings.Compare(a, b))
}

// String is the value of the annotation.
func (kept moments) String() string {
	text, err := json.Marshal(kept)
	if err != nil { // a year beyond 9999, which decoding a payload rules out
		return "{}"
	}
	return string(text)
}
