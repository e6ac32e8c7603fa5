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
	return decide(config, current, pushed, newEffort(""))
}

// decide decides within an effort.
func decide(config ImageConfig, current Current, pushed Image, e *effort) Decision {
	decision := tryDecide(config, current, pushed, e)
	if e.exhausted {
		j := &judge{config: config}
		return j.refuse(ReasonInvalidConfiguration, "matching tags with the patterns in allow-tags and ignore-tags "+
			"takes too long; use fewer aliases or simpler patterns")
	}
	return decision
}

func tryDecide(config ImageConfig, current Current, pushed Image, e *effort) Decision {
	judge, refused := newJudge(config, pushed, e)
	if judge == nil {
		return refused
	}
	if len(current.Live) > maxInUse || len(current.Overrides) > maxInUse {
		return judge.refuse(ReasonInvalidConfiguration,
			"more than %d images are in use that it might replace, which is too many", maxInUse)
	}
	if len(current.Live) == 0 && !config.ForceUpdate {
		return judge.refuse(ReasonNotInUse,
			"%s is not among the images that Argo CD reports to run, and force-update is not set", config.Name)
	}
	decision := judge.against(current)
	if decision.Update && config.Verify {
		return judge.refuse(ReasonVerificationRequired,
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

// judge judges one pushed image by the configuration of one image.
type judge struct {
	config ImageConfig
	pushed Image
	filter filter
	rule   rule
}

// newJudge finds out whether the pushed image is a candidate at all. If not there
// is no judge, but a decision.
func newJudge(config ImageConfig, pushed Image, e *effort) (*judge, Decision) {
	j := &judge{config: config, pushed: pushed}
	if !sameName(config.Name, pushed.Name) {
		return nil, j.refuse(ReasonOtherImage, "%s is not %s", pushed.Name, config.Name)
	}
	if config.Problem != "" {
		return nil, j.refuse(ReasonInvalidConfiguration, "%s", config.Problem)
	}
	var err error
	if j.filter, err = newFilter(config, e); err != nil {
		return nil, j.refuse(ReasonInvalidConfiguration, "%v", err)
	}
	if j.rule, err = newRule(config, j.filter); err != nil {
		return nil, j.refuse(ReasonInvalidConfiguration, "%v", err)
	}
	if err := pushed.validate(); err != nil {
		return nil, j.refuse(ReasonInvalidImage, "%v", err)
	}
	if pushed.Tag == "" {
		return nil, j.refuse(ReasonTagMissing, "the push names no tag")
	}
	if pattern, ignored := j.filter.ignores(pushed.Tag); ignored {
		return nil, j.refuse(ReasonTagIgnored, "%s is ignored by %q", pushed.Tag, pattern)
	}
	if !j.filter.allows(pushed.Tag) {
		return nil, j.refuse(ReasonTagNotAllowed, "%s is not allowed by %q", pushed.Tag, j.filter.text)
	}
	if reason, message := j.rule.refuses(pushed); reason != "" {
		return nil, j.refuse(reason, "%s", message)
	}
	return j, Decision{}
}

// against judges against all that is in use, of which there may be several
// references while a rollout is under way. The tag must not be behind any.
func (j *judge) against(current Current) Decision {
	same, others := split(current.inUse(), j.config.Name)
	if len(same) == 0 && len(others) == 0 {
		return j.update(ReasonNothingToCompare, "it is not reported to run, and forced")
	}
	if len(same) == 0 {
		// The name that is set need not be all of the image's: some charts have the
		// registry elsewhere. What runs under the whole name must not go backwards.
		same, _ = split(current.Live, j.config.Name)
		if older := j.standing(same)[behind]; len(older) > 0 {
			return j.behind(older)
		}
		return j.update(ReasonReplacesImage, "it replaces %s", join(others))
	}

	standing := j.standing(same)
	switch {
	case len(standing[behind]) > 0:
		return j.behind(standing[behind])
	case len(standing[ahead]) > 0:
		return j.update(j.rule.ahead(), "%s replaces %s", j.version(), join(standing[ahead]))
	case len(standing[incomparable]) > 0:
		return j.update(ReasonNothingToCompare, "%s cannot be compared with %s, which is in use",
			j.pushed.Tag, join(standing[incomparable]))
	case len(others) > 0:
		return j.update(ReasonReplacesImage, "it replaces %s", join(others))
	case len(standing[equivalent]) > 0:
		return j.refuse(ReasonSameVersion, "%s is the same version as %s, which is in use",
			j.pushed.Tag, join(standing[equivalent]))
	}
	return j.refuse(ReasonUpToDate, "%s is in use already", join(standing[equal]))
}

// standing compares with images of the configured name.
func (j *judge) standing(same []Image) map[comparison][]Image {
	standing := map[comparison][]Image{}
	for _, used := range j.rule.relevant(same) {
		c := j.rule.compare(j.pushed, used)
		standing[c] = append(standing[c], used)
	}
	return standing
}

func (j *judge) behind(used []Image) Decision {
	return j.refuse(j.rule.behind(), "%s is behind %s, which is in use", j.pushed.Tag, join(used))
}

// split tells the images of a name from others.
func split(images []Image, name string) (same, others []Image) {
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
func (j *judge) version() string {
	return Image{Tag: j.pushed.Tag, Digest: j.rule.pins(j.pushed)}.version()
}

func (j *judge) update(reason, format string, args ...any) Decision {
	return Decision{
		Slot:      j.config.Slot(),
		Update:    true,
		NewTag:    j.pushed.Tag,
		NewDigest: j.rule.pins(j.pushed),
		Reason:    reason,
		Message:   fmt.Sprintf(format, args...),
	}
}

func (j *judge) refuse(reason, format string, args ...any) Decision {
	return Decision{Slot: j.config.Slot(), Reason: reason, Message: fmt.Sprintf(format, args...)}
}
