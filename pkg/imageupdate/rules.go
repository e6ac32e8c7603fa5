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

// comparison is the relation of a pushed image to one in use.
type comparison int

const (
	incomparable comparison = iota
	behind
	equivalent // same version, different spelling
	equal
	ahead
)

// rule implements one strategy.
type rule interface {
	// refuses returns why a pushed image is not a candidate, or an empty reason.
	refuses(pushed Image) (reason, message string)
	// compare returns incomparable for an image in use that the strategy could never select.
	compare(pushed, used Image) comparison
	// aheadReason and behindReason are the reasons for candidates that are ahead or behind.
	aheadReason() string
	behindReason() string
	// pinnedDigest returns the digest to write with the tag, or "".
	pinnedDigest(pushed Image) string
}

// newRule returns the rule of an image's strategy. The owner is the namespace that constraints are cached for.
func newRule(c ImageConfig, owner string) (rule, error) {
	switch c.Strategy {
	case Semver:
		return newSemverRule(owner, c.Constraint)
	case NewestBuild:
		return newestBuildRule{}, nil
	case Alphabetical:
		return alphabeticalRule{}, nil
	case Digest:
		if c.Constraint == "" {
			return nil, errors.New("the strategy digest needs a tag to follow: name:tag")
		}
		return digestRule{tag: c.Constraint}, nil
	}
	return nil, fmt.Errorf("unknown strategy %q", c.Strategy)
}

// unpinned is embedded by strategies that write tags without a digest.
type unpinned struct{}

func (unpinned) pinnedDigest(Image) string { return "" }

// semverRule compares semantic versions that meet the constraint.
type semverRule struct {
	unpinned
	constraint *semver.Constraints
	text       string
}

// newSemverRule parses a constraint. The default is "*", which excludes pre-releases as in Image Updater; a constraint
// with a pre-release, such as ">=1.0-0", includes them.
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
	if err != nil || !r.constraint.Check(u) {
		return incomparable
	}
	if order := p.Compare(u); order != 0 || pushed.Tag == used.Tag {
		return toComparison(order)
	}
	return equivalent
}

func (semverRule) aheadReason() string  { return ReasonNewerVersion }
func (semverRule) behindReason() string { return ReasonOlderVersion }

// newestBuildRule accepts the last push. The caller, which knows the time of the push, must reject late older pushes.
type newestBuildRule struct{ unpinned }

func (newestBuildRule) refuses(Image) (reason, message string) { return "", "" }

func (newestBuildRule) compare(pushed, used Image) comparison {
	if pushed.Tag == used.Tag {
		return equal
	}
	return ahead
}

func (newestBuildRule) aheadReason() string  { return ReasonNewestBuild }
func (newestBuildRule) behindReason() string { return "" } // unused: compare never returns behind

// alphabeticalRule compares tags byte by byte.
type alphabeticalRule struct{ unpinned }

func (alphabeticalRule) refuses(Image) (reason, message string) { return "", "" }

func (alphabeticalRule) compare(pushed, used Image) comparison {
	if used.Tag == "" {
		return incomparable
	}
	return toComparison(strings.Compare(pushed.Tag, used.Tag))
}

func (alphabeticalRule) aheadReason() string  { return ReasonAlphabeticallyLater }
func (alphabeticalRule) behindReason() string { return ReasonAlphabeticallyEarlier }

// digestRule pins the digest of one tag.
type digestRule struct{ tag string }

func (r digestRule) refuses(pushed Image) (reason, message string) {
	if pushed.Tag != r.tag {
		return ReasonTagNotFollowed, fmt.Sprintf("%s is followed, not %s", r.tag, pushed.Tag)
	}
	if pushed.Digest == "" {
		return ReasonDigestMissing, "the push names no digest that is valid"
	}
	return "", ""
}

// compare compares with images at the followed tag, and with those of which only the digest is known.
func (r digestRule) compare(pushed, used Image) comparison {
	switch {
	case used.Tag != r.tag && used.Tag != "" || !used.versioned():
		return incomparable
	case pushed.Digest == used.Digest:
		return equal
	}
	return ahead
}

func (digestRule) aheadReason() string              { return ReasonNewDigest }
func (digestRule) behindReason() string             { return "" } // unused: compare never returns behind
func (digestRule) pinnedDigest(pushed Image) string { return pushed.Digest }

// toComparison converts the result of a compare function.
func toComparison(order int) comparison {
	switch {
	case order < 0:
		return behind
	case order > 0:
		return ahead
	}
	return equal
}
