// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"cmp"
	"slices"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/pkg/imageupdate"
)

// DecideImage returns the changes that a pushed image, r.Image, makes to an Application with a configuration for image
// updates. It does not modify app, which may come from a cache.
//
// An image that the configuration names is written if the configuration allows it; otherwise nothing is. An image that
// it does not name, and one that Image Updater has to commit, are recorded only in the annotations.
func DecideImage(app *argov1alpha1.Application, config imageupdate.Config, r Request) Decision {
	b := newPatchBuilder(app.Annotations)
	config = config.ForImage(r.image())
	requested, previous := r.image().String(), b.readAnnotations(AnnotationRequestedRef)[AnnotationRequestedRef]
	b.testConfiguration(app.Labels, config)
	config, stale := dropStaleImages(b.readAnnotations(AnnotationEventTime), previous, config, r)
	var plan imageupdate.Plan
	if len(config.Images) > 0 {
		plan = imageupdate.PlanFor(b.readImages(app), config, r.image())
	}
	overall, notes, slots := overallDecision(plan), planNotes(plan, config, r), imageSlots(plan)
	switch {
	case len(plan.Decisions) == 0 && stale != nil:
		return *stale
	case len(plan.Decisions) == 0 && r.IfFollowed:
		return notHeld(previous, ReasonNotFollowed, notes...)
	case rankOf(overall) == rankHeld:
		held := notHeld(previous, overall.Reason, notes...)
		held.Held = true
		return held.withWatermark(app.Annotations, r, AnnotationRequestedRef, timeOrderedSlots(config, slots)...)
	case rankOf(overall) < rankHeld:
		return notHeld(previous, overall.Reason, notes...)
	case len(plan.Overrides) == 0 && previous == requested:
		return unchanged(AnnotationRequestedRef, requested, notes...).
			withWatermark(app.Annotations, r, AnnotationRequestedRef, slots...)
	}

	b.setRequest(r, requested, "", slots...)
	for _, o := range plan.Overrides {
		b.applyOverride(o)
	}
	decision := b.build(previous, notes...)
	decision.Reason = overall.Reason
	return decision
}

// dropStaleImages removes the images from a configuration for which the pushed image is stale; stale is the decision if
// none is left. Images whose strategy orders by version are kept: a higher version is wanted no matter how late it
// arrives.
func dropStaleImages(
	annotations map[string]string, previous string, config imageupdate.Config, r Request,
) (remaining imageupdate.Config, stale *Decision) {
	configured := false
	single := countMatches(config, r) == 1
	config.Images = slices.DeleteFunc(slices.Clone(config.Images), func(image imageupdate.ImageConfig) bool {
		if !image.Matches(r.image()) {
			return false
		}
		configured = true
		if ordersByVersion(image) {
			return false
		}
		outdated := checkStale(annotations, imageSlot(image.Slot()), previous, r)
		if outdated == nil && single && r.supersededByHeld(imageNameSlot(r.Image.Name())) {
			outdated = superseded(previous, heldLaterMessage)
		}
		stale = cmp.Or(outdated, stale)
		return outdated != nil
	})
	if !configured {
		stale = checkStale(annotations, slotImage, previous, r)
	}
	return config, stale
}

// countMatches returns how many images of a configuration match the pushed one, each under its own alias.
func countMatches(config imageupdate.Config, r Request) int {
	times := 0
	for i := range config.Images {
		if config.Images[i].Matches(r.image()) {
			times++
		}
	}
	return times
}

// imageNameSlot is the slot of an image name whose alias is unknown: RecordHeld learns of images from the records of
// deliveries, which have no aliases. It is never written to a target.
func imageNameSlot(name string) string { return slotImage + ":" + name }

// ordersByVersion reports whether the version alone decides which of two images is newer.
func ordersByVersion(image imageupdate.ImageConfig) bool {
	return image.Strategy == imageupdate.Semver || image.Strategy == imageupdate.Alphabetical
}

// timeOrderedSlots returns the slots in which an event may be stale.
func timeOrderedSlots(config imageupdate.Config, slots []string) []string {
	return slices.DeleteFunc(slots, func(slot string) bool {
		return slices.ContainsFunc(config.Images, func(image imageupdate.ImageConfig) bool {
			return imageSlot(image.Slot()) == slot && ordersByVersion(image)
		})
	})
}

// imageSlots returns the slots in which the pushed image is wanted.
func imageSlots(plan imageupdate.Plan) []string {
	if len(plan.Decisions) == 0 {
		return []string{slotImage}
	}
	var slots []string
	for _, decision := range plan.Decisions {
		if rankOf(decision) > rankUnwanted {
			slots = append(slots, imageSlot(decision.Slot))
		}
	}
	return slots
}

func imageSlot(slot string) string { return slotImage + "/" + slot }

// overallDecision returns the decision of a plan with the highest rank: an update comes before all others. If the
// configuration names no image only the request is recorded.
func overallDecision(plan imageupdate.Plan) imageupdate.Decision {
	if len(plan.Decisions) == 0 {
		return imageupdate.Decision{Reason: ReasonRequested}
	}
	return slices.MaxFunc(plan.Decisions, func(a, b imageupdate.Decision) int { return int(rankOf(a) - rankOf(b)) })
}

// rank is how much of a request a decision applies.
type rank int

const (
	rankUnwanted rank = iota
	rankHeld          // the Application already runs the image
	rankWanted        // something is written, if only annotations
	rankUpdated
)

func rankOf(decision imageupdate.Decision) rank {
	switch {
	case decision.Update:
		return rankUpdated
	case decision.Reason == imageupdate.ReasonGitWriteBack, decision.Reason == ReasonRequested:
		return rankWanted
	case decision.Reason == imageupdate.ReasonUpToDate, decision.Reason == imageupdate.ReasonSameVersion:
		return rankHeld
	}
	return rankUnwanted
}

// planNotes explains a plan to users. If the configuration does not name the image, problems of the configuration may
// be the cause.
func planNotes(plan imageupdate.Plan, config imageupdate.Config, r Request) []string {
	if len(plan.Decisions) == 0 {
		return append([]string{"no configuration for image updates names " + r.Image.Name()}, config.Notes...)
	}
	notes := make([]string, 0, len(plan.Decisions))
	for _, decision := range plan.Decisions {
		notes = append(notes, decision.Slot+": "+decision.Message)
	}
	return notes
}
