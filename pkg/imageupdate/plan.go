// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"fmt"
	"strings"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
)

// Plan is what a push comes to at an Application.
type Plan struct {
	// Decisions are one for every configured image that was pushed, in the order of
	// the configuration, up to maxPlaces.
	Decisions []Decision
	// Overrides are what to write. There are none if no image is to be updated.
	Overrides []Override
}

// PlanFor decides what a pushed image changes in an Application with this
// configuration. Once the overrides are written, planning again comes to none.
func PlanFor(app *argov1alpha1.Application, config Config, pushed Image) Plan {
	var plan Plan
	config = config.Of(pushed)
	if len(config.Images) == 0 {
		return plan
	}
	if n := len(app.Spec.Sources); n > maxSources {
		problem := fmt.Sprintf("the Application has %d sources, which is too many; at most %d are taken", n, maxSources)
		for _, image := range config.Images {
			plan.Decisions = append(plan.Decisions,
				Decision{Slot: image.Slot(), Reason: ReasonInvalidConfiguration, Message: problem})
		}
		return plan
	}
	sources, live, effort := sourcesOf(app), liveImagesOf(app, config.Images), newEffort(app.Namespace)
	for _, image := range config.Images {
		plan.Decisions = append(plan.Decisions, decideFor(sources, live, config, image, pushed, effort))
	}
	plan.Overrides = overridesOf(sourcesOf(app), sources)
	return plan
}

// decideFor decides about one configured image, and sets it in its source, so
// that the next one finds it there.
func decideFor(sources []source, live liveImages, config Config, image ImageConfig, pushed Image, e *effort) Decision {
	current := Current{Live: live.of(image)}
	place, reason, message := locate(sources, image.Target)
	if place != nil && place.overrides() > maxOverrides {
		place, reason = nil, ReasonInvalidConfiguration
		message = fmt.Sprintf("its source sets more than %d images, parameters or variables, which is too many",
			maxOverrides)
	}
	if place != nil {
		current.Overrides = overrides(place.ApplicationSource, place.sourceType, image)
	}
	decision := decide(image, current, pushed, e)
	if !decision.Update {
		return decision
	}
	if written, problem := config.writtenBy(); problem != "" {
		reason, message = written, problem
	}
	if reason != "" {
		return Decision{
			Slot:    decision.Slot,
			Reason:  reason,
			Message: fmt.Sprintf("it would be updated (%s), but %s", decision.Message, message),
		}
	}
	to := Image{Name: image.Name, Tag: decision.NewTag, Digest: decision.NewDigest}
	place.changed = true
	override(&place.ApplicationSource, place.sourceType, image, current.Live, to)
	return decision
}

// writtenBy says why updates are not written to the Application, if they are not.
func (c Config) writtenBy() (reason, message string) {
	method, _, _ := strings.Cut(strings.TrimSpace(c.WriteBack), ":")
	switch method {
	case "", "argocd":
		return "", ""
	case "git":
		return ReasonGitWriteBack, "the write-back method is git: it is for Image Updater to commit it"
	}
	return ReasonInvalidConfiguration, "there is no write-back method " + quoted(c.WriteBack)
}
