// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"fmt"
	"net/url"
	"time"
)

// link returns a relative link with parameters, without those that are empty. All pages are in one directory.
func link(page string, parameters ...string) string {
	values := url.Values{}
	for i := 0; i+1 < len(parameters); i += 2 {
		if parameters[i+1] != "" {
			values.Set(parameters[i], parameters[i+1])
		}
	}
	if len(values) == 0 {
		return page
	}
	return page + "?" + values.Encode()
}

func age(t time.Time) string {
	if t.IsZero() {
		return "unknown"
	}
	const day = 24 * time.Hour
	switch since := time.Since(t); {
	case since < time.Minute:
		return "just now"
	case since < 2*time.Hour:
		return fmt.Sprintf("%d min ago", since/time.Minute)
	case since < 2*day:
		return fmt.Sprintf("%d h ago", since/time.Hour)
	default:
		return fmt.Sprintf("%d days ago", since/day)
	}
}

func clock(t time.Time) string   { return t.Local().Format("15:04:05") }
func stamp(t time.Time) string   { return t.Local().Format("2006-01-02 15:04:05 MST") }
func instant(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// number formats a count with a comma for each thousand.
func number(n int) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + many
}

// symbol returns a sign for an outcome or a level, for those who do not see its color.
func symbol(outcome any) string {
	switch fmt.Sprint(outcome) {
	case "Applied", "Written", "OK":
		return "✓"
	case "Failed", "Fault":
		return "✕"
	case "Pending":
		return "◷"
	case "Held":
		return "‖"
	case "Superseded":
		return "↷"
	case "Ignored", "Skipped":
		return "–"
	case "Unchanged":
		return "="
	case "Warning":
		return "!"
	case "Note":
		return "i"
	}
	return "?"
}
