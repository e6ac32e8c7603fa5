// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"cmp"
	"slices"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/pkg/imageupdate"
)

// DecideImage decides what a pushed image, which the request must hold, changes in
// an Application under its configuration for image updates. It does not modify the
// object, which may come from a cache.
//
// An image that the configuration speaks of is written if it is wanted, and else
// nothing is. Only the annotations tell of an image that it does not speak of, and
// of one that is wanted but for somebody else to commit.
func DecideImage(app *argov1alpha1.Application, config imageupdate.Config, r Request) Decision {
	d := newDraft(app.Annotations)
	config = config.Of(*r.Image)
	requested, previous := r.Image.String(), d.only(AnnotationRequestedRef)[AnnotationRequestedRef]
	d.testConfiguration(app.Labels, config)
	config, late := withoutOutdated(d.only(AnnotationEventTime), previous, config, r)
	var plan imageupdate.Plan
	if len(config.Images) > 0 {
		plan = imageupdate.PlanFor(d.images(app), config, *r.Image)
	}
	verdict, notes, slots := verdictOf(plan), notesOn(plan, config, r), slotsOf(plan)
	switch {
	case len(plan.Decisions) == 0 && late != nil:
		return *late
	case len(plan.Decisions) == 0 && r.IfFollowed:
		return leftAlone(previous, ReasonNotFollowed, notes...)
	case weigh(verdict) == weightHeld:
		held := leftAlone(previous, verdict.Reason, notes...)
		held.Held = true
		return held.noteLater(app.Annotations, r, AnnotationRequestedRef, orderedByTime(config, slots)...)
	case weigh(verdict) < weightHeld:
		return leftAlone(previous, verdict.Reason, notes...)
	case len(plan.Overrides) == 0 && previous == requested:
		return nothingToDo(AnnotationRequestedRef, requested, notes...).
			noteLater(app.Annotations, r, AnnotationRequestedRef, slots...)
	}

	d.request(r, requested, "", slots...)
	for _, o := range plan.Overrides {
		d.override(o)
	}
	decision := d.decision(previous, notes...)
	decision.Reason = verdict.Reason
	return decision
}

// withoutOutdated drops from a configuration the images for which the pushed one
// comes too late; late is what that comes to if none is left. Under strategies that
// go by the version none is dropped: a higher one is wanted however late it comes.
func withoutOutdated(annotations map[string]string, previous string, config imageupdate.Config, r Request) (left imageupdate.Config, late *Decision) {
	configured := false
	alone := timesNamed(config, r) == 1
	config.Images = slices.DeleteFunc(slices.Clone(config.Images), func(image imageupdate.ImageConfig) bool {
		if !image.Names(*r.Image) {
			return false
		}
		configured = true
		if byVersion(image) {
			return false
		}
		outdated := tooLate(annotations, imageSlot(image.Slot()), previous, r)
		if outdated == nil && alone && r.heldAfter(slotOfName(r.Image.Name)) {
			outdated = superseded(previous, heldLater)
		}
		late = cmp.Or(outdated, late)
		return outdated != nil
	})
	if !configured {
		late = tooLate(annotations, slotImage, previous, r)
	}
	return config, late
}

// timesNamed returns how many images of a configuration are the pushed one, each under an alias of its own.
func timesNamed(config imageupdate.Config, r Request) int {
	times := 0
	for i := range config.Images {
		if config.Images[i].Names(*r.Image) {
			times++
		}
	}
	return times
}

// slotOfName is where it is remembered that a target held an image of a name, if its alias is not known: what is found
// out elsewhere is told by the record of a delivery, which knows none. No target notes it.
func slotOfName(name string) string { return slotImage + ":" + name }

// byVersion reports whether versions alone say which of two images is newer.
func byVersion(image imageupdate.ImageConfig) bool {
	return image.Strategy == imageupdate.Semver || image.Strategy == imageupdate.Alphabetical
}

// orderedByTime returns those of some slots in which an event may come too late.
func orderedByTime(config imageupdate.Config, slots []string) []string {
	return slices.DeleteFunc(slots, func(slot string) bool {
		return slices.ContainsFunc(config.Images, func(image imageupdate.ImageConfig) bool {
			return imageSlot(image.Slot()) == slot && byVersion(image)
		})
	})
}

// slotsOf lists the slots that a pushed image is for.
func slotsOf(plan imageupdate.Plan) []string {
	if len(plan.Decisions) == 0 {
		return []string{slotImage}
	}
	var slots []string
	for _, decision := range plan.Decisions {
		if weigh(decision) > weightUnwanted {
			slots = append(slots, imageSlot(decision.Slot))
		}
	}
	return slots
}

func imageSlot(slot string) string { return slotImage + "/" + slot }

// verdictOf is the decision that counts for the Application as a whole, of those
// about each of its images: one that has something written before any other. If
// the configuration speaks of none, there is only the request.
func verdictOf(plan imageupdate.Plan) imageupdate.Decision {
	if len(plan.Decisions) == 0 {
		return imageupdate.Decision{Reason: ReasonRequested}
	}
	return slices.MaxFunc(plan.Decisions, func(a, b imageupdate.Decision) int { return int(weigh(a) - weigh(b)) })
}

// weight says how much of what is requested an Application takes.
type weight int

const (
	weightUnwanted weight = iota
	weightHeld            // it runs that already
	weightWanted          // something is to be written, if only annotations
	weightUpdated
)

func weigh(decision imageupdate.Decision) weight {
	switch {
	case decision.Update:
		return weightUpdated
	case decision.Reason == imageupdate.ReasonGitWriteBack, decision.Reason == ReasonRequested:
		return weightWanted
	case decision.Reason == imageupdate.ReasonUpToDate, decision.Reason == imageupdate.ReasonSameVersion:
		return weightHeld
	}
	return weightUnwanted
}

// notesOn explains a plan to people. What is odd about the configuration may be
// why it does not speak of the image.
func notesOn(plan imageupdate.Plan, config imageupdate.Config, r Request) []string {
	if len(plan.Decisions) == 0 {
		return append([]string{"no configuration for image updates names " + r.Image.Name}, config.Notes...)
	}
	notes := make([]string, 0, len(plan.Decisions))
	for _, decision := range plan.Decisions {
		notes = append(notes, decision.Slot+": "+decision.Message)
	}
	return notes
}
