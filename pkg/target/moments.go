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

// watermarkSet are the contents of AnnotationEventTime, by slot.
type watermarkSet map[string]watermark

// parseWatermarks reads the annotation. What is not ours to understand counts as absent.
func parseWatermarks(annotations map[string]string) watermarkSet {
	ws := watermarkSet{}
	if err := json.Unmarshal([]byte(annotations[AnnotationEventTime]), &ws); err != nil || ws == nil {
		return watermarkSet{}
	}
	return ws
}

// lastRead remembers what parseWatermarks made of an annotation, which its owner may make large,
// for several decisions that ask several times each.
type lastRead struct {
	annotation string
	moments    watermarkSet
}

// parseWatermarks is parseWatermarks of annotations. What it returns must not be modified.
func (k OrderingState) momentsOf(annotations map[string]string) watermarkSet {
	if k.kept == nil {
		return parseWatermarks(annotations)
	}
	if now := annotations[AnnotationEventTime]; k.kept.moments == nil || k.kept.annotation != now {
		*k.kept = lastRead{now, parseWatermarks(annotations)}
	}
	return k.kept.moments
}

// record takes note of a request that is written to a slot.
func (ws watermarkSet) record(slot string, r Request) { ws.set(slot, ws[slot].followedBy(r)) }

// set sets a slot, in place of those that were written longest ago if there are too many.
func (ws watermarkSet) set(slot string, m watermark) {
	ws[slot] = m
	switch excess := len(ws) - maxSlots; {
	case excess == 1: // as a rule
		delete(ws, ws.oldest())
	case excess > 1: // what an owner wrote
		for _, slot := range slices.SortedFunc(maps.Keys(ws), ws.compare)[:excess] {
			delete(ws, slot)
		}
	}
}

// oldest is the slot that was written longest ago.
func (kept watermarkSet) oldest() (oldest string) {
	first := true
	for slot := range kept {
		if first || kept.compare(slot, oldest) < 0 {
			oldest, first = slot, false
		}
	}
	return oldest
}

// compare puts the slot first that was written before another.
func (kept watermarkSet) compare(a, b string) int {
	return cmp.Or(kept[a].Received.Compare(kept[b].Received), strings.Compare(a, b))
}

// String is the value of the annotation.
func (ws watermarkSet) String() string {
	text, err := json.Marshal(ws)
	if err != nil { // a year beyond 9999, which decoding a payload rules out
		return "{}"
	}
	return string(text)
}
