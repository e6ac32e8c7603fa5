// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package observability

import (
	"regexp"
	"slices"
	"strings"
)

var (
	quoted   = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'`)
	selector = regexp.MustCompile(`\{[^}]*\}`)
	interval = regexp.MustCompile(`\[[^\]]*\]`)
	grouping = regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)`)
	duration = regexp.MustCompile(`\boffset\s+\w+`)
	word     = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*(\s*\()?`)
	keywords = []string{"and", "or", "unless", "bool", "inf", "nan"}
)

// MetricsIn returns the names of the metrics that a PromQL expression reads, sorted and without duplicates. It parses
// only enough to separate names from functions, labels and keywords; promtool validates expressions.
func MetricsIn(expression string) []string {
	for _, part := range []*regexp.Regexp{quoted, selector, interval, grouping, duration} {
		expression = part.ReplaceAllString(expression, " ")
	}
	var names []string
	for _, name := range word.FindAllString(expression, -1) {
		if !strings.HasSuffix(name, "(") && !slices.Contains(keywords, strings.ToLower(name)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
