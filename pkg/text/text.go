// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package text bounds texts that clients and owners of targets choose, before they are stored or displayed.
package text

import (
	"strconv"
	"strings"
	"unicode"
)

const ellipsis = "…"

// Truncate cuts s to limit bytes, with an ellipsis at its end. It never cuts a character in half. limit must be at
// least the length of an ellipsis.
func Truncate(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit-len(ellipsis)], "") + ellipsis
}

// Plain returns the beginning of s as Truncate does, in one line, with a question mark for each character that can't be
// printed.
func Plain(s string, limit int) string {
	s = strings.Join(strings.Fields(Truncate(s, limit)), " ")
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// maxQuoted bounds a quoted text, in bytes.
const maxQuoted = 64

// Quote returns the beginning of s in quotes, as ASCII without control characters, for errors and messages.
func Quote(s string) string {
	if len(s) > maxQuoted {
		return strconv.QuoteToASCII(s[:maxQuoted]) + ellipsis
	}
	return strconv.QuoteToASCII(s)
}
