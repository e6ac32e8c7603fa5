// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"fmt"
	"slices"
)

// Decision is what a push comes to at one configured image.
type Decision struct {
	// Slot is that of the configured image.
	Slot string
	// Update is whether the image is to be updated.
	Update bool
	// NewTag and NewDigest are what to update to. The digest is set under the
	// strategy digest only. Both are empty without an update.
	NewTag, NewDigest string
	// Reason is one of the Reason constants.
	Reason string
	// Message explains the reason to people.
	Message string
}

// Current is what an Application uses in the place of a configured image.
type Current struct {
	// Overrides are what its specification sets. If they have a tag or a digest,
	// they are what is in use; what runs may be behind, or about to change.
	Overrides []Image
	// Live are the images that Argo CD reports to run: those of the configured
	// name, and those of the name that it replaces.
	Live []Image
}

// Decide judges whether a pushed image replaces what an Application uses of a
// configured image. Deciding again once the decision was followed never asks for
// another update.
func Decide(config ImageConfig, current Current, pushed Image) Decision {
	return decide(config, current, pushed, newBudget(""))
}

// decide decides within an effort.
func decide(config ImageConfig, current Current, pushed Image, b *budget) Decision {
	decision := evaluate(config, current, pushed, b)
	if b.exhausted {
		ev := &evaluator{config: config}
		return ev.refuse(ReasonInvalidConfiguration, "matching tags with the patterns in allow-tags and ignore-tags "+
			"takes too long; use fewer aliases or simpler patterns")
	}
	return decision
}

func evaluate(config ImageConfig, current Current, pushed Image, b *budget) Decision {
	ev, refused := newEvaluator(config, pushed, b)
	if ev == nil {
		return refused
	}
	if len(current.Live) > maxInUse || len(current.Overrides) > maxInUse {
		return ev.refuse(ReasonInvalidConfiguration,
			"more than %d images are in use that it might replace, which is too many", maxInUse)
	}
	if len(current.Live) == 0 && !config.ForceUpdate {
		return ev.refuse(ReasonNotInUse,
			"%s is not among the images that Argo CD reports to run, and force-update is not set", config.Name)
	}
	decision := ev.compareWith(current)
	if decision.Update && config.Verify {
		return ev.refuse(ReasonVerificationRequired,
			"it would be updated (%s), but signatures are wanted, which are not checked here", decision.Message)
	}
	return decision
}

// inUse lists what counts as in use.
func (c Current) inUse() []Image {
	overrides := slices.DeleteFunc(slices.Clone(c.Overrides), func(i Image) bool { return !i.versioned() })
	if len(overrides) > 0 {
		return overrides
	}
	return c.Live
}

// evaluator judges one pushed image by the configuration of one image.
type evaluator struct {
	config ImageConfig
	pushed Image
	filter filter
	rule   rule
}

// newEvaluator finds out whether the pushed image is a candidate at all. If not there
// is no judge, but a decision.
func newEvaluator(config ImageConfig, pushed Image, b *budget) (*evaluator, Decision) {
	ev := &evaluator{config: config, pushed: pushed}
	if !sameName(config.Name, pushed.Name) {
		return nil, ev.refuse(ReasonOtherImage, "%s is not %s", pushed.Name, config.Name)
	}
	if config.Problem != "" {
		return nil, ev.refuse(ReasonInvalidConfiguration, "%s", config.Problem)
	}
	var err error
	if ev.filter, err = newFilter(config, b); err != nil {
		return nil, ev.refuse(ReasonInvalidConfiguration, "%v", err)
	}
	if ev.rule, err = newRule(config, ev.filter); err != nil {
		return nil, ev.refuse(ReasonInvalidConfiguration, "%v", err)
	}
	if err := pushed.validate(); err != nil {
		return nil, ev.refuse(ReasonInvalidImage, "%v", err)
	}
	if pushed.Tag == "" {
		return nil, ev.refuse(ReasonTagMissing, "the push names no tag")
	}
	if pattern, ignored := ev.filter.ignores(pushed.Tag); ignored {
		return nil, ev.refuse(ReasonTagIgnored, "%s is ignored by %q", pushed.Tag, pattern)
	}
	if !ev.filter.allows(pushed.Tag) {
		return nil, ev.refuse(ReasonTagNotAllowed, "%s is not allowed by %q", pushed.Tag, ev.filter.text)
	}
	if reason, message := ev.rule.refuses(pushed); reason != "" {
		return nil, ev.refuse(reason, "%s", message)
	}
	return ev, Decision{}
}

// compareWith judges against all that is in use, of which there may be several
// references while a rollout is under way. The tag must not be behind any.
func (ev *evaluator) compareWith(current Current) Decision {
	same, others := partitionByName(current.inUse(), ev.config.Name)
	if len(same) == 0 && len(others) == 0 {
		return ev.update(ReasonNothingToCompare, "it is not reported to run, and forced")
	}
	if len(same) == 0 {
		// The name that is set need not be all of the image's: some charts have the
		// registry elsewhere. What runs under the whole name must not go backwards.
		same, _ = partitionByName(current.Live, ev.config.Name)
		if older := ev.compareAll(same)[behind]; len(older) > 0 {
			return ev.refuseOlder(older)
		}
		return ev.update(ReasonReplacesImage, "it replaces %s", joinImages(others))
	}

	compared := ev.compareAll(same)
	switch {
	case len(compared[behind]) > 0:
		return ev.refuseOlder(compared[behind])
	case len(compared[ahead]) > 0:
		return ev.update(ev.rule.aheadReason(), "%s replaces %s", ev.version(), joinImages(compared[ahead]))
	case len(compared[incomparable]) > 0:
		return ev.update(ReasonNothingToCompare, "%s cannot be compared with %s, which is in use",
			ev.pushed.Tag, joinImages(compared[incomparable]))
	case len(others) > 0:
		return ev.update(ReasonReplacesImage, "it replaces %s", joinImages(others))
	case len(compared[equivalent]) > 0:
		return ev.refuse(ReasonSameVersion, "%s is the same version as %s, which is in use",
			ev.pushed.Tag, joinImages(compared[equivalent]))
	}
	return ev.refuse(ReasonUpToDate, "%s is in use already", joinImages(compared[equal]))
}

// compareAll compares with images of the configured name.
func (ev *evaluator) compareAll(same []Image) map[comparison][]Image {
	compared := map[comparison][]Image{}
	for _, used := range ev.rule.relevant(same) {
		c := ev.rule.compare(ev.pushed, used)
		compared[c] = append(compared[c], used)
	}
	return compared
}

func (ev *evaluator) refuseOlder(used []Image) Decision {
	return ev.refuse(ev.rule.behindReason(), "%s is behind %s, which is in use", ev.pushed.Tag, joinImages(used))
}

// partitionByName tells the images of a name from others.
func partitionByName(images []Image, name string) (same, others []Image) {
	for _, i := range images {
		if sameName(i.Name, name) {
			same = append(same, i)
		} else {
			others = append(others, i)
		}
	}
	return same, others
}

// version is what the image is updated to.
func (ev *evaluator) version() string {
	return Image{Tag: ev.pushed.Tag, Digest: ev.rule.pinnedDigest(ev.pushed)}.version()
}

func (ev *evaluator) update(reason, format string, args ...any) Decision {
	return Decision{
		Slot:      ev.config.Slot(),
		Update:    true,
		NewTag:    ev.pushed.Tag,
		NewDigest: ev.rule.pinnedDigest(ev.pushed),
		Reason:    reason,
		Message:   fmt.Sprintf(format, args...),
	}
}

func (ev *evaluator) refuse(reason, format string, args ...any) Decision {
	return Decision{Slot: ev.config.Slot(), Reason: reason, Message: fmt.Sprintf(format, args...)}
}
