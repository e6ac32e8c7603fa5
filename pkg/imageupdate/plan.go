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
	// the configuration, up to maxEntriesPerImage.
	Decisions []Decision
	// Overrides are what to write. There are none if no image is to be updated.
	Overrides []Override
}

// PlanFor decides what a pushed image changes in an Application with this
// configuration. Once the overrides are written, planning again comes to none.
func PlanFor(app *argov1alpha1.Application, config Config, pushed Image) Plan {
	var plan Plan
	config = config.ForImage(pushed)
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
	sources, live, b := sourcesOf(app), newLiveImages(app, config.Images), newBudget(app.Namespace)
	for _, image := range config.Images {
		plan.Decisions = append(plan.Decisions, planImage(sources, live, config, image, pushed, b))
	}
	plan.Overrides = diffOverrides(sourcesOf(app), sources)
	return plan
}

// planImage decides about one configured image, and sets it in its source, so
// that the next one finds it there.
func planImage(sources []appSource, live liveImages, config Config, image ImageConfig, pushed Image, b *budget) Decision {
	current := Current{Live: live.forImage(image)}
	src, reason, message := findSource(sources, image.Target)
	if src != nil && src.overrideCount() > maxOverrides {
		src, reason = nil, ReasonInvalidConfiguration
		message = fmt.Sprintf("its source sets more than %d images, parameters or variables, which is too many",
			maxOverrides)
	}
	if src != nil {
		current.Overrides = overriddenImages(src.ApplicationSource, src.sourceType, image)
	}
	decision := decide(image, current, pushed, b)
	if !decision.Update {
		return decision
	}
	if written, problem := config.writeBackProblem(); problem != "" {
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
	src.changed = true
	setImage(&src.ApplicationSource, src.sourceType, image, current.Live, to)
	return decision
}

// writeBackProblem says why updates are not written to the Application, if they are not.
func (c Config) writeBackProblem() (reason, message string) {
	method, _, _ := strings.Cut(strings.TrimSpace(c.WriteBack), ":")
	switch method {
	case "", "argocd":
		return "", ""
	case "git":
		return ReasonGitWriteBack, "the write-back method is git: it is for Image Updater to commit it"
	}
	return ReasonInvalidConfiguration, "there is no write-back method " + quoted(c.WriteBack)
}
