// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// slotGit is the slot of the git ref of a target with one repository, and
// slotImage that of an image that no configuration speaks of.
const (
	slotGit   = "git"
	slotImage = "image"
)

// slot is the slot of a request for a git ref. An Application may have sources in
// several repositories, whose refs are no rivals.
func (r Request) slot(kind Kind) string {
	if repository := NormalizeRepository(r.Repository); kind == KindApplication && repository != "" {
		return slotGit + "/" + repository
	}
	return slotGit
}

// watermark says when an event happened, and how the requests it made compare.
type watermark struct {
	// By is the kind of sender. Times of different kinds are never compared: they
	// may be of different things.
	By string `json:"by"`
	// Time is when the event happened, by the sender; zero if unknown.
	Time time.Time `json:"time,omitzero"`
	// After is the latest known time of the events of the sender before this one, if
	// its own is unknown: what happened before that has not become newer by it.
	After time.Time `json:"after,omitzero"`
	// Received is when Postern took it in, by its Clock.
	Received time.Time `json:"received"`
}

// orderedByVersion reports whether versions alone say what is newer: a target that
// follows tags takes the highest, however late it comes.
func (r Request) orderedByVersion() bool { return r.IfFollowed && r.RefType == RefTypeTag }

func (r Request) watermark() watermark {
	return watermark{By: r.By, Time: r.EventTime.UTC(), Received: r.Received.UTC()}
}

// comparableWith reports whether the times at the sender tell two events apart.
func (m watermark) comparableWith(other watermark) bool {
	return m.By == other.By && !m.Time.IsZero() && !other.Time.IsZero() && !m.Time.Equal(other.Time)
}

// happenedAfter reports whether the sender says so.
func (m watermark) happenedAfter(other watermark) bool {
	return m.comparableWith(other) && m.Time.After(other.Time)
}

// supersedes reports whether a request has come too late, since what happened at
// this moment was asked for after it: by the times of the sender if it may be told
// from these, or else by the times of receipt. What is delivered again on purpose
// gives way only when it is tried again, to what was received after it.
func (m watermark) supersedes(r Request) bool {
	if r.Override {
		return r.Retry && m.receivedAfter(r)
	}
	if late, told := m.happenedLater(r); told {
		return late
	}
	return m.receivedAfter(r)
}

// happenedLater reports whether a request comes too late by the times of the sender; not
// told if these don't say.
func (m watermark) happenedLater(r Request) (late, told bool) {
	if m.comparableWith(r.watermark()) {
		return r.EventTime.Before(m.Time), true
	}
	late = m.By == r.By && !r.EventTime.IsZero() && r.EventTime.Before(m.After)
	return late, late
}

// staleMessage says in what a request that this moment outdates comes too late.
func (m watermark) staleMessage(r Request) string {
	if late, _ := m.happenedLater(r); late && !r.Override {
		return "what was last written happened later"
	}
	return "what was last written was received later"
}

// followedBy returns the moment of a request that is written after this one.
//
// Its receipt is its own, even where it wins by its time or version over what was received
// after it: by that a request is found to have been written when it is tried again, and
// rule 2 compares with what the target holds. That something was received later is
// remembered by the watermarks, as long as there is room.
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
		next.Time = latest // on purpose, which does not make way for what came between
	}
	return next
}

// receivedAfter reports whether a request was received before this moment. A receipt
// that can't be true counts for nothing.
func (m watermark) receivedAfter(r Request) bool {
	return r.Received.Before(m.Received) && (r.Ordering.maxReceived.IsZero() || !m.Received.After(r.Ordering.maxReceived))
}

// matchesRetry reports whether a request that is tried again was written at this moment,
// although nobody learnt of it.
func (m watermark) matchesRetry(r Request) bool {
	return r.Retry && m.By == r.By && m.Received.Equal(r.Received)
}

// recordWatermark takes note, with the other annotations, of the event that is written
// to some slots.
func (b *patchBuilder) recordWatermark(r Request, slots ...string) {
	b.slots = slots
	if r.Received.IsZero() {
		return
	}
	ws := maps.Clone(r.Ordering.momentsOf(b.annotations))
	for _, slot := range slots {
		ws.record(slot, r)
	}
	b.annotate(AnnotationEventTime, ws.String())
}

// checkStale returns the decision about a request that has been outdated in its
// slot, or was written to it already; nil if it is neither.
func checkStale(annotations map[string]string, slot, previous string, r Request) *Decision {
	if r.orderedByVersion() {
		return nil
	}
	last, known := r.Ordering.momentsOf(annotations)[slot]
	switch {
	case known && last.matchesRetry(r):
		return &Decision{Outcome: Outcome{Previous: previous, Held: true, Reason: ReasonAlreadyRequested, Message: "it was written before"}}
	case known && last.supersedes(r):
		return superseded(previous, last.staleMessage(r))
	case r.supersededByHeld(slot):
		return superseded(previous, heldLaterMessage)
	}
	return nil
}

// heldLaterMessage is the message of what comes too late for a request that changed nothing.
const heldLaterMessage = "the target was found to hold what was received later"

// supersededByHeld reports whether the target held, in a slot, a request that was received
// after this one and counts instead. Only what was received before it gives way, so
// that who removes AnnotationEventTime has the next event count.
func (r Request) supersededByHeld(slot string) bool {
	held, known := r.Ordering.watermarks[slotKey(slot)]
	return known && held.receivedAfter(r) && held.supersedes(r)
}

// checkStaleAcrossSlots is checkStale for a target that has one place for the git refs of all
// repositories, by what was noted in the slots of others. Only what was received
// before that gives way, unless it happened after.
func checkStaleAcrossSlots(annotations map[string]string, slot, previous string, r Request) *Decision {
	if r.Override && !r.Retry || r.orderedByVersion() {
		return nil
	}
	// The names of slots may differ, if they are long.
	for _, noted := range []watermarkSet{r.Ordering.momentsOf(annotations), r.Ordering.watermarks} {
		for other, last := range noted {
			if other != slot && other != slotKey(slot) && isGitSlot(other) && last.receivedAfter(r) && last.supersedes(r) {
				return superseded(previous, "what was last requested, of another repository, counts instead")
			}
		}
	}
	return nil
}

func isGitSlot(slot string) bool { return slot == slotGit || strings.HasPrefix(slot, slotGit+"/") }

// superseded is the decision about a request in whose place another counts.
func superseded(previous, message string) *Decision {
	return &Decision{Outcome: Outcome{Previous: previous, Reason: ReasonSuperseded, Message: message}}
}

// withWatermark makes the decision that there is nothing to do keep the moment of a request
// that asks for the present ref again, so that one from between the two is known to be
// late. Where no moment is kept nothing is changed.
func (d Decision) withWatermark(annotations map[string]string, r Request, relyOn string, slots ...string) Decision {
	d.Slots = slots
	ws := r.Ordering.momentsOf(annotations)
	slots = slices.DeleteFunc(slices.Clone(slots), func(slot string) bool {
		last, known := ws[slot]
		return !known || !last.mustBeFollowedBy(r)
	})
	if len(slots) == 0 {
		return d
	}
	noted := newPatchBuilder(annotations)
	noted.testAnnotation(relyOn)
	noted.recordWatermark(r, slots...)
	d.Patch = append(noted.tests, noted.edits...)
	return d
}

// mustBeFollowedBy reports whether a target on which this moment is noted must tell of a
// request that it holds already: of its time, and of its receipt if there are other
// processes, which don't hear of it until its record comes round.
func (m watermark) mustBeFollowedBy(r Request) bool {
	if late, told := m.happenedLater(r); told {
		return !late
	}
	return r.Ordering.shared && m.Received.Before(r.Received)
}
