// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"fmt"
	"path"
	"strings"

	"postern.dev/postern/pkg/pattern"
)

// filter selects the tags that may be used. Once the budget is exhausted, its results are not valid and the decision
// must be discarded.
type filter struct {
	ignored []string
	allowed *pattern.Expression // nil allows any tag
	text    string              // allowed as configured
	budget  *budget
}

// newFilter reads the filter of an image. It returns an error for a malformed or too large filter, so that a mistake
// never allows tags that the owner meant to exclude.
func newFilter(c ImageConfig, b *budget) (filter, error) {
	f := filter{ignored: c.IgnoreTags, text: c.AllowTags, budget: b}
	if len(c.IgnoreTags) > maxGlobs {
		return filter{}, fmt.Errorf("ignore-tags has more than %d patterns, which is too many", maxGlobs)
	}
	for _, glob := range c.IgnoreTags {
		if len(glob) > maxGlob {
			return filter{}, fmt.Errorf("%s in ignore-tags has %d bytes, which is too long; at most %d are allowed",
				quoted(glob), len(glob), maxGlob)
		}
		if _, err := path.Match(glob, ""); err != nil {
			return filter{}, fmt.Errorf("%q in ignore-tags is not a valid pattern: %w", glob, err)
		}
	}
	if c.AllowTags == "" || strings.EqualFold(c.AllowTags, "any") {
		return f, nil
	}
	function, expression, found := strings.Cut(c.AllowTags, ":")
	if !found || !strings.EqualFold(function, "regexp") {
		return filter{}, fmt.Errorf("allow-tags is %s; it must be any, or regexp: and an expression",
			quoted(c.AllowTags))
	}
	var err error
	if f.allowed, err = pattern.Regexp(b.owner, expression); err != nil {
		return filter{}, fmt.Errorf("allow-tags is not a valid regular expression: %w", err)
	}
	return f, nil
}

// ignores returns the first pattern that ignores the tag.
func (f filter) ignores(tag string) (glob string, ignored bool) {
	for _, glob := range f.ignored {
		if !f.budget.spend(globCost(glob, tag)) {
			return glob, true
		}
		if matches, err := path.Match(glob, tag); err == nil && matches {
			return glob, true
		}
	}
	return "", false
}

// globCost returns the maximum number of steps to match a tag with a glob.
func globCost(glob, tag string) int {
	if strings.Contains(glob, "*") {
		return (len(glob) + 1) * (len(tag) + 1)
	}
	return len(glob) + 1
}

func (f filter) allows(tag string) bool {
	return f.allowed == nil || f.budget.spend(f.allowed.Cost(len(tag))) && f.allowed.MatchString(tag)
}

func (f filter) accepts(tag string) bool {
	_, ignored := f.ignores(tag)
	return !ignored && f.allows(tag)
}
