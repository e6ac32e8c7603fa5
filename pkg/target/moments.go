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

// AnnotationEventTime records the last event that a target was written for: a JSON object with one member per slot.
// Events in the same slot replace each other: a slot is for the git ref of a repository, or for an image under its
// alias. Stale events are detected by it.
const AnnotationEventTime = "postern.dev/event-time"

// maxSlots bounds the annotation. Beyond it the slots written longest ago are dropped.
const maxSlots = 20

// watermarkSet is the content of AnnotationEventTime, by slot.
type watermarkSet map[string]watermark

// parseWatermarks reads the annotation. A value that is not valid is treated as absent.
func parseWatermarks(annotations map[string]string) watermarkSet {
	ws := watermarkSet{}
	if err := json.Unmarshal([]byte(annotations[AnnotationEventTime]), &ws); err != nil || ws == nil {
		return watermarkSet{}
	}
	return ws
}

// lastRead caches parseWatermarks for several decisions, each of which calls it several times. The owner may make the
// annotation large.
type lastRead struct {
	annotation string
	watermarks watermarkSet
}

// watermarksOf is a cached parseWatermarks. The result must not be modified.
func (k OrderingState) watermarksOf(annotations map[string]string) watermarkSet {
	if k.kept == nil {
		return parseWatermarks(annotations)
	}
	if now := annotations[AnnotationEventTime]; k.kept.watermarks == nil || k.kept.annotation != now {
		*k.kept = lastRead{now, parseWatermarks(annotations)}
	}
	return k.kept.watermarks
}

// record records a request that is written to a slot.
func (ws watermarkSet) record(slot string, r Request) { ws.set(slot, ws[slot].followedBy(r)) }

// set sets a slot, and drops the slots written longest ago if there are too many.
func (ws watermarkSet) set(slot string, m watermark) {
	ws[slot] = m
	switch excess := len(ws) - maxSlots; {
	case excess == 1: // the usual case
		delete(ws, ws.oldest())
	case excess > 1: // the owner wrote them
		for _, slot := range slices.SortedFunc(maps.Keys(ws), ws.compare)[:excess] {
			delete(ws, slot)
		}
	}
}

// oldest returns the slot written longest ago.
func (ws watermarkSet) oldest() (oldest string) {
	first := true
	for slot := range ws {
		if first || ws.compare(slot, oldest) < 0 {
			oldest, first = slot, false
		}
	}
	return oldest
}

// compare orders slots by when they were written.
func (ws watermarkSet) compare(a, b string) int {
	return cmp.Or(ws[a].Received.Compare(ws[b].Received), strings.Compare(a, b))
}

// String returns the value of the annotation.
func (ws watermarkSet) String() string {
	text, err := json.Marshal(ws)
	if err != nil { // a year after 9999, which payload decoders reject
		return "{}"
	}
	return string(text)
}
