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

// moment says when an event happened, and how the requests it made compare.
type moment struct {
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

func (r Request) moment() moment {
	return moment{By: r.By, Time: r.EventTime.UTC(), Received: r.Received.UTC()}
}

// comparable reports whether the times at the sender tell two events apart.
func (m moment) comparable(other moment) bool {
	return m.By == other.By && !m.Time.IsZero() && !other.Time.IsZero() && !m.Time.Equal(other.Time)
}

// happenedAfter reports whether the sender says so.
func (m moment) happenedAfter(other moment) bool {
	return m.comparable(other) && m.Time.After(other.Time)
}

// outdates reports whether a request has come too late, since what happened at
// this moment was asked for after it: by the times of the sender if it may be told
// from these, or else by the times of receipt. What is delivered again on purpose
// gives way only when it is tried again, to what was received after it.
func (m moment) outdates(r Request) bool {
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
func (m moment) happenedLater(r Request) (late, told bool) {
	if m.comparable(r.moment()) {
		return r.EventTime.Before(m.Time), true
	}
	late = m.By == r.By && !r.EventTime.IsZero() && r.EventTime.Before(m.After)
	return late, late
}

// later says in what a request that this moment outdates comes too late.
func (m moment) later(r Request) string {
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
func (m moment) followedBy(r Request) moment {
	next := r.moment()
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
func (m moment) receivedAfter(r Request) bool {
	return r.Received.Before(m.Received) && (r.Known.horizon.IsZero() || !m.Received.After(r.Known.horizon))
}

// isOf reports whether a request that is tried again was written at this moment,
// although nobody learnt of it.
func (m moment) isOf(r Request) bool {
	return r.Retry && m.By == r.By && m.Received.Equal(r.Received)
}

// noteMoment takes note, with the other annotations, of the event that is written
// to some slots.
func (d *draft) noteMoment(r Request, slots ...string) {
	d.slots = slots
	if r.Received.IsZero() {
		return
	}
	kept := maps.Clone(r.Known.momentsOf(d.annotations))
	for _, slot := range slots {
		kept.note(slot, r)
	}
	d.annotate(AnnotationEventTime, kept.String())
}

// tooLate returns the decision about a request that has been outdated in its
// slot, or was written to it already; nil if it is neither.
func tooLate(annotations map[string]string, slot, previous string, r Request) *Decision {
	if r.orderedByVersion() {
		return nil
	}
	last, known := r.Known.momentsOf(annotations)[slot]
	switch {
	case known && last.isOf(r):
		return &Decision{Outcome: Outcome{Previous: previous, Held: true, Reason: ReasonAlreadyRequested, Message: "it was written before"}}
	case known && last.outdates(r):
		return superseded(previous, last.later(r))
	case r.heldAfter(slot):
		return superseded(previous, heldLater)
	}
	return nil
}

// heldLater is the message of what comes too late for a request that changed nothing.
const heldLater = "the target was found to hold what was received later"

// heldAfter reports whether the target held, in a slot, a request that was received
// after this one and counts instead. Only what was received before it gives way, so
// that who removes AnnotationEventTime has the next event count.
func (r Request) heldAfter(slot string) bool {
	held, known := r.Known.held[watermarkOf(slot)]
	return known && held.receivedAfter(r) && held.outdates(r)
}

// overtaken is tooLate for a target that has one place for the git refs of all
// repositories, by what was noted in the slots of others. Only what was received
// before that gives way, unless it happened after.
func overtaken(annotations map[string]string, slot, previous string, r Request) *Decision {
	if r.Override && !r.Retry || r.orderedByVersion() {
		return nil
	}
	// The names of slots may differ, if they are long.
	for _, noted := range []moments{r.Known.momentsOf(annotations), r.Known.held} {
		for other, last := range noted {
			if other != slot && other != watermarkOf(slot) && isGitSlot(other) && last.receivedAfter(r) && last.outdates(r) {
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

// noteLater makes the decision that there is nothing to do keep the moment of a request
// that asks for the present ref again, so that one from between the two is known to be
// late. Where no moment is kept nothing is changed.
func (d Decision) noteLater(annotations map[string]string, r Request, relyOn string, slots ...string) Decision {
	d.Slots = slots
	kept := r.Known.momentsOf(annotations)
	slots = slices.DeleteFunc(slices.Clone(slots), func(slot string) bool {
		last, known := kept[slot]
		return !known || !last.mustBeFollowedBy(r)
	})
	if len(slots) == 0 {
		return d
	}
	noted := newDraft(annotations)
	noted.testAnnotation(relyOn)
	noted.noteMoment(r, slots...)
	d.Patch = append(noted.tests, noted.edits...)
	return d
}

// mustBeFollowedBy reports whether a target on which this moment is noted must tell of a
// request that it holds already: of its time, and of its receipt if there are other
// processes, which don't hear of it until its record comes round.
func (m moment) mustBeFollowedBy(r Request) bool {
	if late, told := m.happenedLater(r); told {
		return !late
	}
	return r.Known.shared && m.Received.Before(r.Received)
}
