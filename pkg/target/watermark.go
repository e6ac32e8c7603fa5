// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"postern.dev/postern/apis/postern"
)

// AnnotationEventTime records the last event that a target was written for: a JSON object with one member per slot.
// Events in the same slot replace each other: a slot is for the git ref of a repository, or for an image under its
// alias. Stale events are detected by it.
const AnnotationEventTime = "postern.dev/event-time"

// slotGit is the slot of git refs of a target with one repository, slotImage of images that no configuration names.
const (
	slotGit   = "git"
	slotImage = "image"
)

// noSlot is the slot of requests that have no order: each is written, and none is recorded.
const noSlot = ""

func isGitSlot(slot string) bool { return slot == slotGit || strings.HasPrefix(slot, slotGit+"/") }

// maxSlots bounds the annotation. Beyond it the slots written longest ago are dropped.
const maxSlots = 20

// watermark is the time and receipt of the last event in a slot.
type watermark struct {
	// By is the kind of sender. Times of different kinds are never compared: they may be of different things.
	By string `json:"by"`
	// Time is when the event happened, by the sender; zero if unknown.
	Time time.Time `json:"time,omitzero"`
	// After is the latest known time of earlier events from the sender, if Time is unknown: events before it stay
	// stale.
	After time.Time `json:"after,omitzero"`
	// Received is when Postern received the event, by its Clock.
	Received time.Time `json:"received"`
	// Redelivered is set if the event was delivered again on purpose: what was received before that does not replace
	// it, whenever it happened.
	Redelivered bool `json:"redelivered,omitempty"`
	// Commit is the commit that the status of an Application should show because of the event; see refresher. It is
	// empty if no source tracks the ref, and in the watermarkCache.
	Commit string `json:"commit,omitempty"`
	// Wrote is what Postern wrote for the slot, if a field of the target has it; nil if none does, and in the
	// watermarkCache.
	Wrote *writtenRef `json:"wrote,omitempty"`
}

func (r Request) watermark() watermark {
	return watermark{
		By: r.Source, Time: r.EventTime().UTC(), Received: r.Received.UTC(), Redelivered: r.Override,
	}
}

// isOf reports whether a watermark is of the request.
func (r Request) isOf(m watermark) bool { return m.By == r.Source && m.Received.Equal(r.Received) }

// comparableWith reports whether the sender's times order two events.
func (m watermark) comparableWith(other watermark) bool {
	return m.By == other.By && !m.Time.IsZero() && !other.Time.IsZero() && !m.Time.Equal(other.Time)
}

// happenedLater reports whether a request is stale by the sender's times. known is false if they do not decide.
func (m watermark) happenedLater(r Request) (late, known bool) {
	if m.comparableWith(r.watermark()) {
		return r.EventTime().Before(m.Time), true
	}
	late = m.By == r.Source && !r.EventTime().IsZero() && r.EventTime().Before(m.After)
	return late, late
}

// followedBy returns the watermark after a request is written.
//
// Its receipt is the request's own, even if the request wins by time or version over one that was received later: a
// retry recognizes by it that the request was written, and rule 2 (docs/deliveries.md) compares with what the target
// holds. The watermarkCache remembers the later receipt, as long as there is room.
func (m watermark) followedBy(r Request) watermark {
	next := r.watermark()
	if next.By != m.By {
		return next
	}
	latest := m.Time
	if latest.IsZero() {
		latest = m.After
	}
	switch {
	case next.Time.IsZero():
		next.After = latest
	case r.Override && latest.After(next.Time):
		next.Time = latest // the override does not admit events from in between
	}
	return next
}

// precededBy adds the time of a request that was received earlier and is noted later.
func (m *watermark) precededBy(r Request) {
	before := r.watermark()
	switch {
	case before.By != m.By:
	case m.Time.IsZero() && before.Time.After(m.After):
		m.After = before.Time
	case !m.Time.IsZero() && before.Time.After(m.Time): // m was delivered again on purpose
		m.Time = before.Time
	}
}

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

// record records a request that is written to a slot, and drops the slots written longest ago if there are too many.
func (ws watermarkSet) record(slot string, r Request) {
	ws[slot] = ws[slot].followedBy(r)
	compare := func(a, b string) int {
		return cmp.Or(ws[a].Received.Compare(ws[b].Received), strings.Compare(a, b))
	}
	if excess := len(ws) - maxSlots; excess > 0 {
		for _, slot := range slices.SortedFunc(maps.Keys(ws), compare)[:excess] {
			delete(ws, slot)
		}
	}
}

// String returns the value of the annotation.
func (ws watermarkSet) String() string {
	text, err := json.Marshal(ws)
	if err != nil { // a year after 9999, which payload decoders reject
		return "{}"
	}
	return string(text)
}

// watermarks returns parseWatermarks of the annotations of a target. The result must not be modified.
func (s *planState) watermarks(annotations map[string]string) watermarkSet {
	if now := annotations[AnnotationEventTime]; s.recorded == nil || s.recordedIn != now {
		s.recorded, s.recordedIn = parseWatermarks(annotations), now
	}
	return s.recorded
}

// orderedByVersion reports whether the version alone decides which ref is newer: a target that follows tags takes the
// highest, no matter how late it arrives.
func (r Request) orderedByVersion() bool { return r.IfFollowed && r.RefType == postern.RefTypeTag }

// checkStale returns the decision about a request that is stale in its slot, or was already written to it; otherwise
// nil.
func (b *patchBuilder) checkStale(slot string) *decision {
	b.testAnnotation(AnnotationEventTime)
	if b.request.orderedByVersion() {
		return nil
	}
	last, known := b.last(slot)
	switch {
	case b.request.Retry && b.isRecorded(slot):
		d := b.conclude(ReasonAlreadyRequested, "it was written before") // although its result was lost
		d.Held = true
		return &d
	case known && b.supersededBy(last):
		message := "the last written event was received later"
		if late, _ := last.happenedLater(b.request); late && !b.request.Override {
			message = "the last written event happened later"
		}
		return b.superseded(message)
	case b.supersededByHeld(slot):
		return b.superseded(heldLaterMessage)
	}
	return nil
}

// last returns the last event in a slot: as the target records it or, if its annotations are reset, as this process
// remembers it.
func (b *patchBuilder) last(slot string) (m watermark, known bool) {
	if m, known = b.watermarks(b.annotations)[slot]; !known && b.isReset {
		m, known = b.held[slotKey(slot)]
	}
	return m, known
}

// isRecorded reports whether the request is the last one that the target records in a slot.
func (b *patchBuilder) isRecorded(slot string) bool {
	last, known := b.watermarks(b.annotations)[slot]
	return known && b.request.isOf(last)
}

// heldLaterMessage is the message of a request that a later request, which the target does not record, supersedes.
const heldLaterMessage = "the target already holds a later request"

// checkStaleAcrossSlots is checkStale for a target that has one place for the git refs of all repositories, by the
// watermarks of other slots. Only requests received before these are superseded, unless they happened after.
func (b *patchBuilder) checkStaleAcrossSlots(slot string) *decision {
	if b.request.Override && !b.request.Retry || b.request.orderedByVersion() {
		return nil
	}
	// Long names of slots differ in the cache; see slotKey.
	for _, noted := range []watermarkSet{b.watermarks(b.annotations), b.held} {
		for other, last := range noted {
			if other != slot && other != slotKey(slot) && isGitSlot(other) && b.receivedBefore(last) &&
				b.supersededBy(last) {
				return b.superseded("a later request for another repository replaces it")
			}
		}
	}
	return nil
}

// receivedBefore reports whether the request was received before m. An implausible receipt of m does not count.
func (b *patchBuilder) receivedBefore(m watermark) bool {
	return b.request.Received.Before(m.Received) && (b.maxReceived.IsZero() || !m.Received.After(b.maxReceived))
}

// supersededBy reports whether the request is older than m: by the sender's times if they are comparable, otherwise by
// receipt. A request with Override is superseded only when it is retried, by requests received after it, and supersedes
// all that were received before it.
func (b *patchBuilder) supersededBy(m watermark) bool {
	if b.request.Override {
		return b.request.Retry && b.receivedBefore(m)
	}
	if m.Redelivered && b.receivedBefore(m) {
		return true
	}
	if late, known := m.happenedLater(b.request); known {
		return late
	}
	return b.receivedBefore(m)
}

// supersededByHeld reports whether the target held, in a slot, a request that supersedes this one. Only requests
// received before it are superseded, so that after the owner removes AnnotationEventTime the next event is written,
// unless a controller resets the annotations.
func (b *patchBuilder) supersededByHeld(slot string) bool {
	m, known := b.held[slotKey(slot)]
	return known && (b.isReset || b.receivedBefore(m)) && b.supersededBy(m)
}

// recordWatermark records the request in some slots, with the other annotations.
func (b *patchBuilder) recordWatermark(slots ...string) {
	b.slots = slots
	if b.request.Received.IsZero() {
		return
	}
	ws := maps.Clone(b.watermarks(b.annotations))
	for _, slot := range slots {
		if m, known := b.last(slot); known {
			ws[slot] = m
		}
		before := ws[slot]
		ws.record(slot, b.request)
		if m, kept := ws[slot]; kept {
			m.Commit, m.Wrote = b.awaited, before.Wrote
			if b.wrote != "" {
				m.Wrote = before.Wrote.followedBy(b.wrote, b.replaced...)
			}
			ws[slot] = m
		}
	}
	b.annotate(AnnotationEventTime, ws.String())
}

// withWatermark records, in a decision that changes nothing, a request for the ref that the target already holds in the
// annotation key, so that a request from in between is known to be stale: its time, and its receipt if there are other
// processes, which otherwise learn of it only from its record. Slots without a watermark are left alone.
func (b *patchBuilder) withWatermark(d decision, key string, slots []string) decision {
	d.Slots = slots
	ws := b.watermarks(b.annotations)
	isLater := func(slot string) bool {
		last, recorded := ws[slot]
		if !recorded {
			return false
		}
		if late, known := last.happenedLater(b.request); known {
			return !late
		}
		return b.shared && last.Received.Before(b.request.Received)
	}
	var later []string
	for _, slot := range slots {
		if isLater(slot) {
			later = append(later, slot)
		}
	}
	if len(later) == 0 {
		return d
	}
	noted := newPatchBuilder(b.annotations, b.request, b.planState)
	noted.awaited = b.awaited
	noted.testAnnotation(key)
	noted.recordWatermark(later...)
	d.Patch = append(noted.tests, noted.edits...)
	return d
}

// maxClockSkew bounds how far ahead of the wall clock a receipt that another process recorded may be. Synchronized
// clocks differ by far less. A receipt further ahead comes from a wrong clock, or from an owner who edits the
// annotation.
const maxClockSkew = time.Minute

// Clock stamps receipts, which order deliveries. A stamp is later than all earlier stamps and all observed receipts,
// even if the wall clock is set back. So a process that restarts, or runs next to another one with its clock slightly
// behind, continues after the receipts that it has observed. Receipts more than maxClockSkew ahead of the wall clock
// are ignored. It is safe for concurrent use.
type Clock struct {
	now func() time.Time

	mu   sync.Mutex
	last time.Time
}

// NewClock returns a Clock on top of a wall clock, such as time.Now.
func NewClock(now func() time.Time) *Clock { return &Clock{now: now} }

// Stamp returns the time of a receipt, in UTC and in whole microseconds, as JSON stores it.
func (c *Clock) Stamp() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	stamp := c.now().UTC().Truncate(time.Microsecond)
	if !stamp.After(c.last) {
		stamp = c.last.Truncate(time.Microsecond).Add(time.Microsecond)
	}
	c.last = stamp
	return stamp
}

// Observe records a receipt that another process may have stamped. All later stamps are after it.
func (c *Clock) Observe(received time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if received.After(c.last) && !received.After(c.now().Add(maxClockSkew)) {
		c.last = received.UTC()
	}
}

// maxReceived returns the latest plausible receipt. A recorded receipt after it supersedes no request.
func (c *Clock) maxReceived() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	limit := c.now().UTC().Add(maxClockSkew)
	if limit.Before(c.last) { // the wall clock was set back, and last is still plausible
		return c.last
	}
	return limit
}

// observeObject observes the receipts in the annotations of a target.
func (c *Clock) observeObject(obj object) {
	annotations := obj.GetAnnotations()
	if annotations[AnnotationEventTime] == "" {
		return
	}
	for _, m := range parseWatermarks(annotations) {
		c.Observe(m.Received)
	}
}
