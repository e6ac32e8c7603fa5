// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
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
	plan := imageupdate.PlanFor(app, config, *r.Image)
	requested, previous := r.Image.String(), app.Annotations[AnnotationRequestedRef]
	verdict, notes := verdictOf(plan), notesOn(plan, config, r)
	switch {
	case len(plan.Decisions) == 0 && r.IfFollowed:
		return leftAlone(previous, ReasonNotFollowed, notes...)
	case weigh(verdict) < weightWanted:
		d := leftAlone(previous, verdict.Reason, notes...)
		d.Held = weigh(verdict) == weightHeld
		return d
	case len(plan.Overrides) == 0 && previous == requested:
		return nothingToDo(AnnotationRequestedRef, requested, notes...)
	}

	d := newDraft(app.Annotations)
	d.request(r, requested, "")
	if len(plan.Overrides) > 0 {
		d.testConfiguration()
	}
	for _, o := range plan.Overrides {
		d.override(o)
	}
	decision := d.decision(previous, notes...)
	decision.Reason = verdict.Reason
	return decision
}

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
