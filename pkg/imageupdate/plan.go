// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"fmt"
	"strings"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
)

// Plan is the result of a push for an Application.
type Plan struct {
	// Decisions has one entry for each configured image that was pushed, in configuration order, at most
	// maxEntriesPerImage.
	Decisions []Decision
	// Overrides are the changes to write; empty if no image is updated.
	Overrides []Override
}

// PlanFor decides how a pushed image changes an Application with this configuration. Once the overrides are written,
// the next plan has none.
func PlanFor(app *argov1alpha1.Application, config Config, pushed Image) Plan {
	var plan Plan
	config = config.ForImage(pushed)
	if len(config.Images) == 0 {
		return plan
	}
	if n := len(app.Spec.Sources); n > maxSources {
		problem := fmt.Sprintf("the Application has %d sources, which is too many; at most %d are allowed",
			n, maxSources)
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

// planImage decides about one configured image and sets it in its source, so that later entries see the change.
func planImage(
	sources []appSource, live liveImages, config Config, image ImageConfig, pushed Image, b *budget,
) Decision {
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

// writeBackProblem returns the reason why updates are not written to the Application, or "".
func (c Config) writeBackProblem() (reason, message string) {
	method, _, _ := strings.Cut(strings.TrimSpace(c.WriteBack), ":")
	switch method {
	case "", "argocd":
		return "", ""
	case "git":
		return ReasonGitWriteBack, "the write-back method is git: Image Updater has to commit it"
	}
	return ReasonInvalidConfiguration, "unknown write-back method " + quoted(c.WriteBack)
}
