// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	mentionedFlag   = regexp.MustCompile(`^--[a-z0-9][a-z0-9-]*`)
	mentionedMetric = regexp.MustCompile(`^postern_[a-z0-9_]+`)
)

// mention is a flag or a metric that a page names in backticks.
type mention struct {
	name string
	line int
}

func (p *page) mentions(pattern *regexp.Regexp) []mention {
	var found []mention
	for i, line := range p.prose {
		for _, code := range inlineCode.FindAllString(line, -1) {
			if name := pattern.FindString(strings.Trim(code, "`")); name != "" {
				found = append(found, mention{name, i + 1})
			}
		}
	}
	return found
}

// unknown returns an error for each mention that does not exist.
func (p *page) unknown(mentions []mention, exists func(name string) bool) []error {
	var errs []error
	for _, m := range mentions {
		if !exists(m.name) {
			errs = append(errs, fmt.Errorf("%s:%d: there is no %s", p.path, m.line, m.name))
		}
	}
	return errs
}
