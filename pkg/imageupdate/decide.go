// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"fmt"
	"slices"
)

// Decision is the result of a push for one configured image.
type Decision struct {
	// Slot is the slot of the configured image.
	Slot string
	// Update reports whether the image is updated.
	Update bool
	// NewTag and NewDigest are the new version; both are empty without an update. NewDigest is set only for the
	// strategy digest.
	NewTag, NewDigest string
	// Reason is one of the Reason constants.
	Reason string
	// Message explains the reason.
	Message string
}

// Current describes the images that an Application uses for a configured image.
type Current struct {
	// Overrides are the images set in its specification. If they have a tag or a digest, they count as in use; the
	// running images may be behind or about to change.
	Overrides []Image
	// Live are the running images that Argo CD reports, with the configured name or the replaced name.
	Live []Image
}

// Decide reports whether a pushed image replaces the images that an Application uses. It is idempotent: once the
// decision is applied, it returns no further update.
func Decide(config ImageConfig, current Current, pushed Image) Decision {
	return decide(config, current, pushed, newBudget(""))
}

// decide is Decide within a budget.
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
			"more than %d images that it might replace are in use, which is too many", maxInUse)
	}
	if len(current.Live) == 0 && !config.ForceUpdate {
		return ev.refuse(ReasonNotInUse,
			"%s is not among the images that Argo CD reports to run, and force-update is not set", config.Name)
	}
	decision := ev.compareWith(current)
	if decision.Update && config.Verify {
		return ev.refuse(ReasonVerificationRequired,
			"it would be updated (%s), but signature verification is required, which Postern does not do",
			decision.Message)
	}
	return decision
}

// inUse returns the images that count as in use.
func (c Current) inUse() []Image {
	overrides := slices.DeleteFunc(slices.Clone(c.Overrides), func(i Image) bool { return !i.versioned() })
	if len(overrides) > 0 {
		return overrides
	}
	return c.Live
}

// evaluator evaluates one pushed image against the configuration of one image.
type evaluator struct {
	config ImageConfig
	pushed Image
	filter filter
	rule   rule
}

// newEvaluator checks whether the pushed image is a candidate. If not, it returns a nil evaluator and the decision.
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

// compareWith compares with all images in use. During a rollout there may be several. The tag must not be older than
// any.
func (ev *evaluator) compareWith(current Current) Decision {
	same, others := partitionByName(current.inUse(), ev.config.Name)
	if len(same) == 0 && len(others) == 0 {
		return ev.update(ReasonNothingToCompare, "it is not reported to run, and force-update is set")
	}
	if len(same) == 0 {
		// The name in the override may be incomplete: some charts set the registry separately. Images that run under
		// the full name must not be downgraded.
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

// compareAll compares the pushed image with images of the configured name.
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

// partitionByName separates the images of a name from the others.
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

// version returns the version that the image is updated to.
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
