// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"maps"
	"slices"
	"strings"
	"time"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/naming"
)

// slotGit is the slot of git refs of a target with one repository, slotImage of images that no configuration names.
const (
	slotGit   = "git"
	slotImage = "image"
)

// slot returns the slot of a request for a git ref. An Application may have sources in several repositories, whose refs
// do not replace each other.
func (r Request) slot(kind postern.TargetKind) string {
	if repository := naming.NormalizeRepository(r.Repository); kind == postern.TargetApplication && repository != "" {
		return slotGit + "/" + repository
	}
	return slotGit
}

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
}

// orderedByVersion reports whether the version alone decides which ref is newer: a target that follows tags takes the
// highest, no matter how late it arrives.
func (r Request) orderedByVersion() bool { return r.IfFollowed && r.RefType == postern.RefTypeTag }

func (r Request) watermark() watermark {
	return watermark{By: r.Source, Time: r.EventTime().UTC(), Received: r.Received.UTC()}
}

// comparableWith reports whether the sender's times order two events.
func (m watermark) comparableWith(other watermark) bool {
	return m.By == other.By && !m.Time.IsZero() && !other.Time.IsZero() && !m.Time.Equal(other.Time)
}

// happenedAfter reports whether m is after other by the sender's times.
func (m watermark) happenedAfter(other watermark) bool {
	return m.comparableWith(other) && m.Time.After(other.Time)
}

// supersedes reports whether a request is older than m: by the sender's times if they are comparable, otherwise by
// receipt. A request with Override is superseded only when it is retried, by requests received after it.
func (m watermark) supersedes(r Request) bool {
	if r.Override {
		return r.Retry && m.receivedAfter(r)
	}
	if late, known := m.happenedLater(r); known {
		return late
	}
	return m.receivedAfter(r)
}

// happenedLater reports whether a request is stale by the sender's times. known is false if they do not decide.
func (m watermark) happenedLater(r Request) (late, known bool) {
	if m.comparableWith(r.watermark()) {
		return r.EventTime().Before(m.Time), true
	}
	late = m.By == r.Source && !r.EventTime().IsZero() && r.EventTime().Before(m.After)
	return late, late
}

// staleMessage says by which time m supersedes a request.
func (m watermark) staleMessage(r Request) string {
	if late, _ := m.happenedLater(r); late && !r.Override {
		return "the last written event happened later"
	}
	return "the last written event was received later"
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

// receivedAfter reports whether m was received after a request. An implausible receipt does not count.
func (m watermark) receivedAfter(r Request) bool {
	return r.Received.Before(m.Received) &&
		(r.Ordering.maxReceived.IsZero() || !m.Received.After(r.Ordering.maxReceived))
}

// matchesRetry reports whether a request that is retried was written before, although its result was lost.
func (m watermark) matchesRetry(r Request) bool {
	return r.Retry && m.By == r.Source && m.Received.Equal(r.Received)
}

// recordWatermark records the event that is written to some slots, with the other annotations.
func (b *patchBuilder) recordWatermark(r Request, slots ...string) {
	b.slots = slots
	if r.Received.IsZero() {
		return
	}
	ws := maps.Clone(r.Ordering.watermarksOf(b.annotations))
	for _, slot := range slots {
		ws.record(slot, r)
	}
	b.annotate(AnnotationEventTime, ws.String())
}

// checkStale returns the decision about a request that is stale in its slot, or was already written to it; otherwise
// nil.
func checkStale(annotations map[string]string, slot, previous string, r Request) *Decision {
	if r.orderedByVersion() {
		return nil
	}
	last, known := r.Ordering.watermarksOf(annotations)[slot]
	switch {
	case known && last.matchesRetry(r):
		return &Decision{Outcome: Outcome{Previous: previous, Held: true, Reason: ReasonAlreadyRequested,
			Message: "it was written before"}}
	case known && last.supersedes(r):
		return superseded(previous, last.staleMessage(r))
	case r.supersededByHeld(slot):
		return superseded(previous, heldLaterMessage)
	}
	return nil
}

// heldLaterMessage is the message of a request that a later request, which changed nothing, supersedes.
const heldLaterMessage = "the target already holds a request that was received later"

// supersededByHeld reports whether the target held, in a slot, a request that was received after r and supersedes it.
// Only requests received before it are superseded, so that after the owner removes AnnotationEventTime the next event
// is written.
func (r Request) supersededByHeld(slot string) bool {
	held, known := r.Ordering.watermarks[slotKey(slot)]
	return known && held.receivedAfter(r) && held.supersedes(r)
}

// checkStaleAcrossSlots is checkStale for a target that has one place for the git refs of all repositories, by the
// watermarks of other slots. Only requests received before these are superseded, unless they happened after.
func checkStaleAcrossSlots(annotations map[string]string, slot, previous string, r Request) *Decision {
	if r.Override && !r.Retry || r.orderedByVersion() {
		return nil
	}
	// Long names of slots differ in the cache; see slotKey.
	for _, noted := range []watermarkSet{r.Ordering.watermarksOf(annotations), r.Ordering.watermarks} {
		for other, last := range noted {
			if other != slot && other != slotKey(slot) && isGitSlot(other) && last.receivedAfter(r) &&
				last.supersedes(r) {
				return superseded(previous, "a later request for another repository replaces it")
			}
		}
	}
	return nil
}

func isGitSlot(slot string) bool { return slot == slotGit || strings.HasPrefix(slot, slotGit+"/") }

// superseded is the decision about a request that another one replaces.
func superseded(previous, message string) *Decision {
	return &Decision{Outcome: Outcome{Previous: previous, Reason: ReasonSuperseded, Message: message}}
}

// withWatermark records, in a decision that changes nothing, a request for the ref that the target already holds, so
// that a request from in between is known to be stale. Slots without a watermark are left alone.
func (d Decision) withWatermark(annotations map[string]string, r Request, relyOn string, slots ...string) Decision {
	d.Slots = slots
	ws := r.Ordering.watermarksOf(annotations)
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

// mustBeFollowedBy reports whether a target with this watermark must record a request that it already holds: its time,
// and its receipt if there are other processes, which otherwise learn of it only from its record.
func (m watermark) mustBeFollowedBy(r Request) bool {
	if late, known := m.happenedLater(r); known {
		return !late
	}
	return r.Ordering.shared && m.Received.Before(r.Received)
}
