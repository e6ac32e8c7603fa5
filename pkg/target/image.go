// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"
	"slices"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/pkg/imageupdate"
)

// imageConfig returns the configuration of the requested image of an Application.
func (s *planState) imageConfig(app *argov1alpha1.Application, r Request) imageupdate.Config {
	config, ok := s.configs[r.Image.Name()]
	if !ok {
		config, _ = imageupdate.ReadConfigForImage(app, s.updaters, r.image())
		if s.configs == nil {
			s.configs = map[string]imageupdate.Config{}
		}
		s.configs[r.Image.Name()] = config
	}
	return config
}

// decideImage returns the changes that a pushed image makes to an Application with a configuration for image updates.
//
// An image that the configuration names is written if the configuration allows it; otherwise nothing is. An image that
// it does not name, and one that Image Updater has to commit, are recorded only in the annotations.
func (b *patchBuilder) decideImage(app *argov1alpha1.Application, config imageupdate.Config) decision {
	pushed := b.request.image()
	config = config.ForImage(pushed)
	b.previous = b.readAnnotations(AnnotationRequestedRef)[AnnotationRequestedRef]
	b.testConfiguration(app.Labels, config)
	config, stale := b.dropStaleImages(config)
	var plan imageupdate.Plan
	if len(config.Images) > 0 {
		plan = imageupdate.PlanFor(b.readImages(app), config, pushed)
	}
	overall, notes, slots := overallDecision(plan), planNotes(plan, config, b.request), imageSlots(plan)
	switch {
	case len(plan.Decisions) == 0 && stale != nil:
		return *stale
	case len(plan.Decisions) == 0 && b.request.IfFollowed:
		return b.conclude(ReasonNotFollowed, notes...)
	case rankOf(overall) < rankHeld:
		return b.conclude(overall.Reason, notes...)
	}
	if held := b.checkHold(applicationKind{}, app, b.imagePlaces(plan, slots)...); held != nil {
		return *held
	}
	switch {
	case rankOf(overall) == rankHeld:
		held := b.conclude(overall.Reason, notes...)
		held.Held = true
		return b.withWatermark(held, AnnotationRequestedRef, timeOrderedSlots(config, slots))
	case len(plan.Overrides) == 0 && b.previous == pushed.String():
		return b.unchanged(AnnotationRequestedRef, pushed.String(), slots, notes...)
	}

	if entry := soleChange(plan); entry != nil {
		b.wrote, b.replaced = describe(entry.New), []string{describe(entry.Old)}
	}
	b.setRequest(app, pushed.String(), "", slots...)
	for _, o := range plan.Overrides {
		b.applyOverride(o)
	}
	d := b.build(append(notes, managerNote(app, len(plan.Overrides) > 0))...)
	d.Reason = overall.Reason
	return d
}

// soleChange returns the change of an image plan that makes only one; otherwise nil.
func soleChange(plan imageupdate.Plan) *imageupdate.ListChange {
	if len(plan.Overrides) != 1 || len(plan.Overrides[0].Changes) != 1 {
		return nil
	}
	return &plan.Overrides[0].Changes[0]
}

// imagePlaces returns the entry of a list that an image plan would change. It returns none if there are several: which
// one was written for which alias is unknown then.
func (b *patchBuilder) imagePlaces(plan imageupdate.Plan, slots []string) []place {
	entry := soleChange(plan)
	if entry == nil || entry.Old == nil {
		return nil
	}
	o := plan.Overrides[0]
	return []place{{slots: slots, name: o.Field(), path: o.Path(), value: describe(entry.Old)}}
}

// dropStaleImages removes the images from a configuration for which the pushed image is stale; stale is the decision if
// none is left. Images whose strategy orders by version are kept: a higher version is wanted no matter how late it
// arrives.
func (b *patchBuilder) dropStaleImages(
	config imageupdate.Config,
) (remaining imageupdate.Config, stale *decision) {
	b.testAnnotation(AnnotationEventTime)
	matches := func(image imageupdate.ImageConfig) bool { return image.Matches(b.request.image()) }
	count := 0 // each under its own alias
	for _, image := range config.Images {
		if matches(image) {
			count++
		}
	}
	if count == 0 {
		return config, b.checkStale(slotImage)
	}
	var images []imageupdate.ImageConfig
	others := slices.Clip(config.Others)
	for _, image := range config.Images {
		var outdated *decision
		if matches(image) && !ordersByVersion(image) {
			outdated = b.checkStale(imageSlot(image.Slot()))
			if outdated == nil && count == 1 && b.supersededByHeld(imageNameSlot(b.request.Image.Name())) {
				outdated = b.superseded(heldLaterMessage)
			}
		}
		if outdated != nil {
			stale = outdated
			others = append(others, image)
		} else {
			images = append(images, image)
		}
	}
	config.Images, config.Others = images, others
	return config, stale
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
		if rankOf(decision) >= rankHeld {
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
	rankInvalid       // unwanted, and the owner should know why
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
	case decision.Reason == imageupdate.ReasonInvalidConfiguration:
		return rankInvalid
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

// applyOverride sets entries of a list in a source that was read through b. All other entries stay as they are.
func (b *patchBuilder) applyOverride(o imageupdate.Override) {
	isAppend := func(entry imageupdate.ListChange) bool { return entry.Old == nil }
	switch parent := o.Source.Path + "/" + o.List.Parent(); {
	case o.ParentMissing:
		b.test(parent, nil)
		b.add(parent, map[string]any{o.List.Name(): o.After})
	case isAppend(o.Changes[0]) && o.Changes[0].Index == 0: // to an empty or absent list
		b.test(o.Path(), o.Before)
		b.add(o.Path(), o.After)
	default:
		b.test(o.Path(), o.Before)
		for _, entry := range o.Changes {
			if isAppend(entry) {
				b.add(o.Path()+"/-", entry.New)
				continue
			}
			path := fmt.Sprintf("%s/%d", o.Path(), entry.Index)
			b.edits = append(b.edits, operation{Op: "replace", Path: path, Value: entry.New})
		}
	}
	for _, entry := range o.Changes {
		b.fields = append(b.fields,
			heldField{Name: o.Field(), Path: o.Path(), Value: decoded(entry.New), IsList: true})
		if change := (Change{o.Field(), describe(entry.Old), describe(entry.New)}); change.Old != change.New {
			b.changes = append(b.changes, change)
		}
	}
}

// describe formats an entry for users; empty if it is absent.
func describe(entry any) string {
	switch entry := entry.(type) {
	case string:
		return entry
	case argov1alpha1.HelmParameter:
		if entry.Value == nil {
			return entry.Name
		}
		return entry.Name + "=" + *entry.Value
	case argov1alpha1.EnvEntry:
		return entry.Name + "=" + entry.Value
	}
	return ""
}

// readImages returns the parts of an Application that rules for images read, and makes the decision depend on them. The
// configuration must be from imageupdate.ReadConfigForImage for the pushed image.
func (b *patchBuilder) readImages(app *argov1alpha1.Application) *argov1alpha1.Application {
	if sources := b.readSources(&app.Spec); len(sources) <= maxSources {
		for _, source := range sources {
			b.test(source.path+"/chart", orNull(source.Chart))
			b.testTools(source)
		}
	}
	if len(app.Spec.Sources) > 0 && app.Spec.SourceHydrator == nil {
		b.testStatus("/status/sourceTypes", app.Status.SourceTypes, app)
	} else {
		b.testStatus("/status/sourceType", orNull(app.Status.SourceType), app)
	}
	b.testStatus("/status/summary/images", app.Status.Summary.Images, app)
	read := &argov1alpha1.Application{Spec: app.Spec, Status: app.Status}
	read.Namespace = app.Namespace
	return read
}

// testTools makes the decision depend on the parameters of the tools that may render a source.
func (b *patchBuilder) testTools(source appSource) {
	if source.Kustomize == nil {
		b.test(source.path+"/kustomize", nil)
	} else {
		b.test(source.path+"/kustomize/images", source.Kustomize.Images)
	}
	if source.Helm == nil {
		b.test(source.path+"/helm", nil)
	} else {
		b.test(source.path+"/helm/parameters", source.Helm.Parameters)
	}
	if source.Plugin == nil {
		b.test(source.path+"/plugin", nil)
	} else {
		b.test(source.path+"/plugin/env", source.Plugin.Env)
	}
}

// testStatus makes the decision depend on a part of the status. If no image is reported the cache does not show whether
// the parent of the part exists.
func (b *patchBuilder) testStatus(path string, value any, app *argov1alpha1.Application) {
	b.addTest(operation{Op: "test", Path: path, Value: value, uncertain: len(app.Status.Summary.Images) == 0})
}

// testConfiguration makes the decision depend on the values from which the configuration of one image was read.
func (b *patchBuilder) testConfiguration(labels map[string]string, config imageupdate.Config) {
	b.readAnnotations(config.Annotations...)
	for _, image := range slices.Concat(config.Images, config.Others) {
		b.readAnnotations(image.Annotations...)
	}
	if config.Labels {
		b.test("/metadata/labels", labels)
	}
}
