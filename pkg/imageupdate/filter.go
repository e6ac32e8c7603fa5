// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// filter says which tags may be used at all.
type filter struct {
	ignored []string
	allowed *regexp.Regexp // nil: any
	text    string         // of allowed, as configured
}

// newFilter reads the filter of an image. One that is not well formed is an
// error, so that a slip never lets in the tags it was to keep out.
func newFilter(c ImageConfig) (filter, error) {
	f := filter{ignored: c.IgnoreTags, text: c.AllowTags}
	for _, glob := range c.IgnoreTags {
		if _, err := path.Match(glob, ""); err != nil {
			return filter{}, fmt.Errorf("%q in ignore-tags is not a pattern: %w", glob, err)
		}
	}
	if c.AllowTags == "" || strings.EqualFold(c.AllowTags, "any") {
		return f, nil
	}
	function, expression, found := strings.Cut(c.AllowTags, ":")
	if !found || !strings.EqualFold(function, "regexp") {
		return filter{}, fmt.Errorf("allow-tags is %q; it must be any, or regexp: and an expression", c.AllowTags)
	}
	var err error
	if f.allowed, err = regexp.Compile(expression); err != nil {
		return filter{}, fmt.Errorf("allow-tags does not hold a regular expression: %w", err)
	}
	return f, nil
}

// ignores returns the pattern by which a tag is ignored.
func (f filter) ignores(tag string) (pattern string, ignored bool) {
	for _, glob := range f.ignored {
		if matches, err := path.Match(glob, tag); err == nil && matches {
			return glob, true
		}
	}
	return "", false
}

// allows reports whether a tag is among those allowed.
func (f filter) allows(tag string) bool {
	return f.allowed == nil || f.allowed.MatchString(tag)
}

// admits reports whether a tag may be used.
func (f filter) admits(tag string) bool {
	_, ignored := f.ignores(tag)
	return !ignored && f.allows(tag)
}
