// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

// AnnotationEventTime says which event a target was last written for: a JSON
// object with one member per slot, which is whatever one event takes from another
// (the git ref of a repository, an image under its alias). An event that comes in
// late is told by it.
const AnnotationEventTime = "postern.dev/event-time"

// maxSlots bounds the annotation; of more, those written longest ago are forgotten.
const maxSlots = 20

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
	// Received is when Postern took it in.
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
// from these, or else, for what is tried again, by the times of receipt.
func (m moment) outdates(r Request) bool {
	if !r.Override && m.comparable(r.moment()) {
		return r.EventTime.Before(m.Time)
	}
	return r.Retry && r.Received.Before(m.Received)
}

// isOf reports whether a request that is tried again was written at this moment,
// although nobody learnt of it.
func (m moment) isOf(r Request) bool {
	return r.Retry && m.By == r.By && m.Received.Equal(r.Received)
}

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

// note takes note of a request that is written to a slot.
func (kept moments) note(slot string, r Request) {
	m := r.moment()
	// What was delivered again on purpose does not make way for what came between.
	if last := kept[slot]; r.Override && last.comparable(m) && last.Time.After(m.Time) {
		m.Time = last.Time
	}
	kept[slot] = m
	if len(kept) > maxSlots {
		oldest := slices.MinFunc(slices.Sorted(maps.Keys(kept)), func(a, b string) int {
			return kept[a].Received.Compare(kept[b].Received)
		})
		delete(kept, oldest)
	}
}

// String is the value of the annotation.
func (kept moments) String() string {
	text, err := json.Marshal(kept)
	if err != nil { // a year beyond 9999, which decoding a payload rules out
		return "{}"
	}
	return string(text)
}

// noteMoment takes note, with the other annotations, of the event that is written
// to some slots.
func (d *draft) noteMoment(r Request, slots ...string) {
	if r.Received.IsZero() {
		return
	}
	kept := momentsOf(d.annotations)
	for _, slot := range slots {
		kept.note(slot, r)
	}
	d.annotate(AnnotationEventTime, kept.String())
}

// tooLate returns the decision about a request that has been outdated in its
// slot, or was written to it already; nil if it is neither.
func tooLate(annotations map[string]string, slot, previous string, r Request) *Decision {
	last, known := momentsOf(annotations)[slot]
	switch {
	case !known || r.orderedByVersion():
		return nil
	case last.isOf(r):
		return &Decision{Outcome: Outcome{Previous: previous, Held: true, Reason: ReasonAlreadyRequested, Message: "it was written before"}}
	case last.outdates(r):
		return superseded(previous, "what was last written happened later")
	}
	return nil
}

// overtaken is tooLate for what is tried again at a target that has one place for the
// git refs of all repositories, in whichever slot the later one was noted.
func overtaken(annotations map[string]string, previous string, r Request) *Decision {
	if !r.Retry || r.orderedByVersion() {
		return nil
	}
	for slot, last := range momentsOf(annotations) {
		if (slot == slotGit || strings.HasPrefix(slot, slotGit+"/")) && last.outdates(r) {
			return superseded(previous, "what was last written counts instead")
		}
	}
	return nil
}

// superseded is the decision about a request in whose place another counts.
func superseded(previous, message string) *Decision {
	return &Decision{Outcome: Outcome{Previous: previous, Reason: ReasonSuperseded, Message: message}}
}

// noteLater makes the decision that there is nothing to do keep the time of an
// event that asks for the present ref again, so that one from between the two is
// known to be late. Where no time is kept nothing is changed.
func (d Decision) noteLater(annotations map[string]string, r Request, relyOn string, slots ...string) Decision {
	kept := momentsOf(annotations)
	slots = slices.DeleteFunc(slots, func(slot string) bool {
		last, known := kept[slot]
		return !known || !last.comparable(r.moment()) || last.Time.After(r.EventTime)
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
