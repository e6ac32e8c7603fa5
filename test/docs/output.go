// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"fmt"
	"regexp"
	"strings"
)

// anything stands in a page for output that is left out: within a line for some of it, alone in a line for some lines.
const anything = "…"

// What differs from run to run is compared by its shape.
var varying = []struct{ is, matches *regexp.Regexp }{
	{regexp.MustCompile(`^\d+(ms|s|m|h|d)(\d+s)?$`), regexp.MustCompile(`\d+(?:ms|s|m|h|d)(?:\d+[sm])?`)},                              // an age
	{regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$`), regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z`)}, // a time
}

// The end of a name that the server made up, as k8s.io/apimachinery/pkg/util/rand spells it.
var generatedName = regexp.MustCompile(`-[bcdfghjklmnpqrstvwxz2456789]{5}\b`)

// anyName is what stands for it: that, or what Postern makes of the sender's id of a delivery.
const anyName = `-(?:[a-z0-9]{5}|[0-9a-f]{20})`

// compareOutput returns nil if what was printed ends with what the page shows: what the first commands of several have
// printed may be left out. Spaces within a line count as one.
func compareOutput(shown, printed string) error {
	var pattern strings.Builder
	for line := range strings.Lines(strings.TrimSpace(shown)) {
		if strings.TrimSpace(line) == anything {
			pattern.WriteString(`(?:.*\n)*?`)
			continue
		}
		pattern.WriteString(linePattern(line) + ` *\n`)
	}
	expected, err := regexp.Compile(`(?:^|\n)` + pattern.String() + `\n*$`)
	if err != nil {
		return fmt.Errorf("could not compare the output: %w", err)
	}
	if !expected.MatchString(squeeze(printed)) {
		return fmt.Errorf("the page shows\n%s\nbut this was printed\n%s", shown, lastOf(printed))
	}
	return nil
}

func linePattern(line string) string {
	var fields []string
	for field := range strings.FieldsSeq(line) {
		fields = append(fields, fieldPattern(field))
	}
	return ` *` + strings.Join(fields, ` +`)
}

func fieldPattern(field string) string {
	for _, v := range varying {
		if v.is.MatchString(field) {
			return v.matches.String()
		}
	}
	pattern := strings.ReplaceAll(regexp.QuoteMeta(field), anything, `.*`)
	return generatedName.ReplaceAllLiteralString(pattern, anyName)
}

// squeeze makes every line end without blanks, and tabs into spaces.
func squeeze(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		out.WriteString(strings.TrimRight(strings.ReplaceAll(line, "\t", " "), " \r\n") + "\n")
	}
	return out.String()
}
