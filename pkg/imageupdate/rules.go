// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"errors"
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"

	"postern.dev/postern/pkg/pattern"
)

// comparison is how a pushed image stands to one that is in use.
type comparison int

const (
	incomparable comparison = iota
	behind
	equivalent // the same, written differently
	equal
	ahead
)

// rule is what sets one strategy apart from the others.
type rule interface {
	// refuses says why a pushed image is no candidate; the reason is empty if it is one.
	refuses(pushed Image) (reason, message string)
	// relevant picks those of the images in use that the pushed one is to replace,
	// at least one.
	relevant(inUse []Image) []Image
	// compare compares a candidate with an image in use.
	compare(pushed, used Image) comparison
	// aheadReason and behind are the reasons for a candidate that is.
	aheadReason() string
	behindReason() string
	// pinnedDigest is the digest to write with the tag, or empty.
	pinnedDigest(pushed Image) string
}

// newRule is the rule of an image's strategy.
func newRule(c ImageConfig, f filter) (rule, error) {
	switch c.Strategy {
	case Semver:
		return newSemverRule(f.budget.owner, c.Constraint)
	case NewestBuild:
		return newestBuildRule{}, nil
	case Alphabetical:
		return alphabeticalRule{filter: f}, nil
	case Digest:
		if c.Constraint == "" {
			return nil, errors.New("the strategy digest needs a tag to follow: name:tag")
		}
		return digestRule{tag: c.Constraint}, nil
	}
	return nil, fmt.Errorf("there is no strategy %q", c.Strategy)
}

// unpinned is common to the strategies that trust tags to stay what they are.
type unpinned struct{}

func (unpinned) relevant(inUse []Image) []Image { return inUse }
func (unpinned) pinnedDigest(Image) string      { return "" }

// semverRule compares semantic versions. It never lets one go backwards, not even
// to meet the constraint.
type semverRule struct {
	unpinned
	constraint *semver.Constraints
	text       string
}

// newSemverRule reads a constraint. None is "*", which like Image Updater's
// excludes pre-releases; a constraint with a pre-release in it, such as ">=1.0-0",
// includes them.
func newSemverRule(owner, constraint string) (rule, error) {
	if constraint == "" {
		constraint = "*"
	}
	parsed, err := pattern.Constraint(owner, constraint)
	if err != nil {
		return nil, fmt.Errorf("%s is not a semver constraint: %w", quoted(constraint), err)
	}
	return semverRule{constraint: parsed, text: constraint}, nil
}

func (r semverRule) refuses(pushed Image) (reason, message string) {
	version, err := semver.NewVersion(pushed.Tag)
	if err != nil {
		return ReasonNotSemver, fmt.Sprintf("%s is not a semantic version", pushed.Tag)
	}
	if !r.constraint.Check(version) {
		return ReasonConstraintNotMet, fmt.Sprintf("%s does not meet the constraint %q", pushed.Tag, r.text)
	}
	return "", ""
}

func (r semverRule) compare(pushed, used Image) comparison {
	p, err := semver.NewVersion(pushed.Tag)
	if err != nil {
		return incomparable
	}
	u, err := semver.NewVersion(used.Tag)
	if err != nil {
		return incomparable
	}
	if order := p.Compare(u); order != 0 || pushed.Tag == used.Tag {
		return toComparison(order)
	}
	return equivalent
}

func (semverRule) aheadReason() string  { return ReasonNewerVersion }
func (semverRule) behindReason() string { return ReasonOlderVersion }

// newestBuildRule takes what was pushed last. That nothing older arrives late is
// for whoever knows the time of the push.
type newestBuildRule struct{ unpinned }

func (newestBuildRule) refuses(Image) (reason, message string) { return "", "" }

func (newestBuildRule) compare(pushed, used Image) comparison {
	if pushed.Tag == used.Tag {
		return equal
	}
	return ahead
}

func (newestBuildRule) aheadReason() string  { return ReasonNewestBuild }
func (newestBuildRule) behindReason() string { return "" } // nothing is

// alphabeticalRule compares tags byte by byte.
type alphabeticalRule struct {
	unpinned
	filter filter
}

func (alphabeticalRule) refuses(Image) (reason, message string) { return "", "" }

// compare does not compare with a tag that could never have been chosen: an
// application that begins with "latest" would never leave it for "2026-01-31".
func (r alphabeticalRule) compare(pushed, used Image) comparison {
	if used.Tag == "" || !r.filter.accepts(used.Tag) {
		return incomparable
	}
	return toComparison(strings.Compare(pushed.Tag, used.Tag))
}

func (alphabeticalRule) aheadReason() string  { return ReasonAlphabeticallyLater }
func (alphabeticalRule) behindReason() string { return ReasonAlphabeticallyEarlier }

// digestRule pins what one tag points at.
type digestRule struct{ tag string }

func (r digestRule) refuses(pushed Image) (reason, message string) {
	if pushed.Tag != r.tag {
		return ReasonTagNotFollowed, fmt.Sprintf("%s is followed, not %s", r.tag, pushed.Tag)
	}
	if pushed.Digest == "" {
		return ReasonDigestMissing, "the push names no digest"
	}
	return "", ""
}

// relevant leaves out what runs under another tag, if something runs under the one
// that is followed, or under a digest alone.
func (r digestRule) relevant(inUse []Image) []Image {
	var followed []Image
	for _, used := range inUse {
		if used.Tag == r.tag || used.Tag == "" {
			followed = append(followed, used)
		}
	}
	if len(followed) > 0 {
		return followed
	}
	return inUse
}

func (digestRule) compare(pushed, used Image) comparison {
	if pushed.Digest == used.Digest {
		return equal
	}
	return ahead
}

func (digestRule) aheadReason() string              { return ReasonNewDigest }
func (digestRule) behindReason() string             { return "" } // nothing is
func (digestRule) pinnedDigest(pushed Image) string { return pushed.Digest }

// toComparison turns the result of a comparison function into one of ours.
func toComparison(order int) comparison {
	switch {
	case order < 0:
		return behind
	case order > 0:
		return ahead
	}
	return equal
}
