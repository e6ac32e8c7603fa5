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
	// Unreadable is a text in its specification that sets the image but is no reference, such as one with a variable,
	// or empty.
	Unreadable string
	// Ineffective reports whether the overrides have no effect, because the manifests spell the image differently. The
	// running images then count too.
	Ineffective bool
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
		return ev.refuse(ReasonInvalidConfiguration, "evaluating the configuration for image updates takes too "+
			"long; use fewer aliases and sources, or simpler patterns in allow-tags and ignore-tags")
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
	if current.Unreadable != "" {
		return ev.refuse(ReasonInvalidConfiguration, "the image is set by %s, which has no version to compare with",
			quoted(current.Unreadable))
	}
	decision := ev.compareWith(current)
	if decision.Update && config.Verify {
		return ev.refuse(ReasonVerificationRequired,
			"it would be updated (%s), but signature verification is required, which Postern does not do",
			decision.Message)
	}
	return decision
}

// overrides returns the overrides that have a tag or a digest.
func (c Current) overrides() []Image {
	return slices.DeleteFunc(slices.Clone(c.Overrides), func(i Image) bool { return !i.versioned() })
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
	if ev.rule, err = newRule(config, b.owner); err != nil {
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

// compareWith compares with all images in use; during a rollout there may be several. The tag must not be older than
// any that the configuration could select. What it could not select belongs to another alias, or is replaced.
func (ev *evaluator) compareWith(current Current) Decision {
	inUse, overrides := current.Live, current.overrides()
	if len(overrides) > 0 {
		inUse = overrides
	}
	if current.Ineffective {
		inUse = slices.Concat(overrides, current.Live)
	}
	compared := ev.compareAll(inUse)
	older := compared[behind]
	if len(overrides) > 0 && !compared.comparable() {
		older = ev.compareAll(current.Live)[behind] // the specification sets another image, or a tag such as latest
	}
	switch _, others := partitionByName(inUse, ev.config.Name); {
	case len(older) > 0:
		return ev.refuse(ev.rule.behindReason(), "%s is behind %s, which is in use", ev.pushed.Tag, joinImages(older))
	case len(compared[ahead]) > 0:
		return ev.update(ev.rule.aheadReason(), "%s replaces %s", ev.version(), joinImages(compared[ahead]))
	case len(compared[incomparable]) > 0 && (len(overrides) > 0 || !compared.comparable() && len(others) == 0):
		return ev.update(ReasonNothingToCompare, "%s cannot be compared with %s, which is in use",
			ev.pushed.Tag, joinImages(compared[incomparable]))
	case len(others) > 0:
		return ev.update(ReasonReplacesImage, "it replaces %s", joinImages(others))
	case len(compared[equivalent]) > 0:
		return ev.refuse(ReasonSameVersion, "%s is the same version as %s, which is in use",
			ev.pushed.Tag, joinImages(compared[equivalent]))
	case len(compared[equal]) > 0:
		return ev.refuse(ReasonUpToDate, "%s is in use already", joinImages(compared[equal]))
	}
	return ev.update(ReasonNothingToCompare, "it is not reported to run, and force-update is set")
}

// comparisons are images in use by their relation to the pushed image.
type comparisons map[comparison][]Image

// comparable reports whether any image could be compared.
func (c comparisons) comparable() bool {
	return len(c[behind])+len(c[equivalent])+len(c[equal])+len(c[ahead]) > 0
}

// compareAll compares the pushed image with the images of the configured name, and with those that it replaces and is
// behind. Only the last part of their name must be the same, since an image that moved to another registry may be below
// another path there; another image has versions of its own.
func (ev *evaluator) compareAll(inUse []Image) comparisons {
	compared := comparisons{}
	same, others := partitionByName(inUse, ev.config.Name)
	for _, used := range same {
		c := ev.compare(used)
		compared[c] = append(compared[c], used)
	}
	for _, used := range others {
		if baseName(used.Name) == baseName(ev.config.Name) && ev.compare(used) == behind {
			compared[behind] = append(compared[behind], used)
		}
	}
	return compared
}

// compare compares the pushed image with one in use, which is incomparable if the configuration could not select it.
func (ev *evaluator) compare(used Image) comparison {
	c := ev.rule.compare(ev.pushed, used)
	if c != incomparable && used.Tag != "" && !ev.filter.accepts(used.Tag) {
		return incomparable
	}
	return c
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
