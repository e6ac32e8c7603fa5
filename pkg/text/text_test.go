// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package text

import (
	"strings"
	"testing"
)

func TestTruncate_KeepsCharacters(t *testing.T) {
	for s, want := range map[string]string{
		"":          "",
		"123456":    "123456",
		"1234567":   "123…",
		"ééé":       "ééé",
		"éééé":      "é…",
		"12é45678":  "12…",
		"…………":      "……",
		"\xff23456": "\xff23456",
	} {
		if got := Truncate(s, 6); got != want {
			t.Errorf("Truncate(%q) = %q, want %q", s, got, want)
		}
	}
}

func TestQuote_ShortAndSafe(t *testing.T) {
	for s, want := range map[string]string{
		"":                      `""`,
		"é\x1b[2J\u202e":        `"\u00e9\x1b[2J\u202e"`,
		strings.Repeat("v", 64): `"` + strings.Repeat("v", 64) + `"`,
		strings.Repeat("v", 65): `"` + strings.Repeat("v", 64) + `"…`,
	} {
		if got := Quote(s); got != want {
			t.Errorf("Quote(%q) = %s, want %s", s, got, want)
		}
	}
}

func TestPlain_ShortAndSafe(t *testing.T) {
	for s, want := range map[string]string{
		"":                            "",
		"a freeze, “é”":               "a freeze, “é”",
		"two\r\n\tlines\n":            "two lines",
		"\x1b[2J\u202eno\u0000\xff":   "?[2J?no?\ufffd",
		strings.Repeat("é", 11):       strings.Repeat("é", 8) + "…",
		strings.Repeat("\u2028x", 99): "x x x x…",
	} {
		if got := Plain(s, 20); got != want {
			t.Errorf("Plain(%q) = %q, want %q", s, got, want)
		}
	}
}
