// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"fmt"
	"reflect"
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
	p := &planner{
		config:  config,
		sources: sourcesOf(app),
		live:    newLiveImages(app, config.Images, config.Others),
		budget:  newBudget(app.Namespace),
	}
	for _, image := range config.Images {
		plan.Decisions = append(plan.Decisions, p.plan(image, pushed))
	}
	plan.Overrides = diffOverrides(sourcesOf(app), p.sources)
	return plan
}

// planner plans the changes of one Application.
type planner struct {
	config  Config
	sources []appSource
	live    liveImages
	budget  *budget
	// places caches allPlaces.
	places []place
}

// plan decides about one configured image and sets it in its source.
func (p *planner) plan(image ImageConfig, pushed Image) Decision {
	current := Current{Live: p.live.forImage(image)}
	src, reason, message := p.findSource(image)
	if src != nil && src.overrideCount() > maxOverrides {
		src, reason = nil, ReasonInvalidConfiguration
		message = fmt.Sprintf("its source sets more than %d images, parameters or variables, which is too many",
			maxOverrides)
	}
	if src != nil {
		current.readOverrides(src, image, p.live)
	}
	decision := decide(image, current, pushed, p.budget)
	if !decision.Update {
		return decision
	}
	if written, problem := p.config.writeBackProblem(); problem != "" {
		reason, message = written, problem
	} else if conflict := p.conflict(image); reason == "" && conflict != "" {
		reason, message = ReasonInvalidConfiguration, conflict
	}
	if p.budget.exhausted {
		reason = ReasonInvalidConfiguration
		message = "finding the sources of all images takes too long; use fewer images or sources"
	}
	if reason != "" {
		return Decision{
			Slot:    decision.Slot,
			Reason:  reason,
			Message: fmt.Sprintf("it would be updated (%s), but %s", decision.Message, message),
		}
	}
	setImage(src, image, p.live, Image{Name: image.Name, Tag: decision.NewTag, Digest: decision.NewDigest})
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

// List is a list of overrides in a source, as PARENT.NAME: the member of the source, and the list in that member.
type List string

// Lists of overrides.
const (
	// ListKustomizeImages has string items.
	ListKustomizeImages List = "kustomize.images"
	// ListHelmParameters has HelmParameter items.
	ListHelmParameters List = "helm.parameters"
	// ListPluginEnv has EnvEntry items.
	ListPluginEnv List = "plugin.env"
)

// Parent returns the member of the source that contains the list.
func (l List) Parent() string {
	parent, _, _ := strings.Cut(string(l), ".")
	return parent
}

// Name returns the name of the list in its parent.
func (l List) Name() string {
	_, name, _ := strings.Cut(string(l), ".")
	return name
}

// Override is a change to one list of one source of an Application.
type Override struct {
	Source Source
	List   List
	// ParentMissing is set if the source has no member List.Parent().
	ParentMissing bool
	// Before is the list as read, a slice of the list's item type; a nil slice if the list is missing. A patch that
	// appends must test for it; otherwise two concurrent patches append twice.
	Before any
	// After is the list to write.
	After any
	// Changes are the individual changes from Before to After.
	Changes []ListChange
}

// ListChange is one change of a list.
type ListChange struct {
	// Index is the position of the entry. An index at or beyond the end of Before means that the entry is appended.
	Index int
	// Old is the entry as read, or nil if the entry is appended.
	Old any
	// New is the entry to write.
	New any
}

// Path returns the JSON pointer of the list.
func (o Override) Path() string {
	return o.Source.Path + "/" + o.List.Parent() + "/" + o.List.Name()
}

// Field returns the field path of the list, for messages.
func (o Override) Field() string {
	return o.Source.Field + "." + string(o.List)
}

// diffOverrides returns the changes between the sources as read and as planned.
func diffOverrides(before, after []appSource) []Override {
	var found []Override
	for i := range before {
		if !after[i].changed {
			continue
		}
		b, a := before[i].ApplicationSource, after[i].ApplicationSource
		for _, o := range []Override{
			diffLists(ListKustomizeImages, b.Kustomize == nil,
				deref(b.Kustomize).Images, deref(a.Kustomize).Images),
			diffLists(ListHelmParameters, b.Helm == nil,
				deref(b.Helm).Parameters, deref(a.Helm).Parameters),
			diffLists(ListPluginEnv, b.Plugin == nil,
				deref(b.Plugin).Env, deref(a.Plugin).Env),
		} {
			if len(o.Changes) > 0 {
				o.Source = before[i].Source
				found = append(found, o)
			}
		}
	}
	return found
}

// diffLists returns the changes between two states of a list. Entries are never removed or moved.
func diffLists[T string | argov1alpha1.HelmParameter | argov1alpha1.EnvEntry](
	list List, parentMissing bool, before, after []T,
) Override {
	o := Override{List: list, ParentMissing: parentMissing, Before: before, After: after}
	for i, item := range after {
		switch {
		case i >= len(before):
			o.Changes = append(o.Changes, ListChange{Index: i, New: item})
		case !reflect.DeepEqual(before[i], item):
			o.Changes = append(o.Changes, ListChange{Index: i, Old: before[i], New: item})
		}
	}
	return o
}
