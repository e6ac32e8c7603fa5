// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"os/exec"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestPrintable(t *testing.T) {
	for given, expected := range map[string]string{
		"":                         "",
		"main → v1.0.0, größer":    "main → v1.0.0, größer",
		"red \x1b[31m":             `red \x1b[31m`,
		"two\nlines\ttab\x00":      `two\nlines\ttab\x00`,
		"right to left \u202egnp.": `right to left \u202egnp.`,
		"C1 \u009b, \xff byte":     `C1 \u009b, \xff byte`,
		"zero\u200bwidth \ufffd":   `zero\u200bwidth \ufffd`,
	} {
		if got := Printable(given); got != expected {
			t.Errorf("Printable(%q) = %q, expected %q", given, got, expected)
		}
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("plain")
	f.Add("\x1b]0;title\x07\xc3\x28")
	f.Fuzz(func(t *testing.T, given string) {
		got := Printable(given)
		isHidden := func(r rune) bool { return !unicode.IsPrint(r) }
		if strings.ContainsFunc(got, isHidden) || !utf8.ValidString(got) {
			t.Errorf("Printable(%q) = %q", given, got)
		}
	})
}

func TestCommand_IsReadByShellAsGiven(t *testing.T) {
	for _, words := range [][]string{
		{"plain", "github-4zv9d", "gatewaysync/plant"},
		{"", " ", "it's", `"quoted"`, "$HOME", "`id`", "a;b", "*", "~", "\\", "!", "#", ">=1.2, <2", "größer"},
		{"-n", "--", "a=b", "{a,b}", "&", "|", "(", ")"},
	} {
		// Each word ends with a line break, which no word has.
		out, err := exec.CommandContext(t.Context(), "sh", "-c", `printf '%s\n' `+Command(words...)).Output()
		if err != nil {
			t.Fatalf("%s: %v", Command(words...), err)
		}
		if expected := strings.Join(words, "\n") + "\n"; string(out) != expected {
			t.Errorf("a shell reads %s as %q, expected %q", Command(words...), out, expected)
		}
	}
}

func TestCommand_HasNoControlCharacters(t *testing.T) {
	if got := Command("echo", "a\nrm -rf\x1b"); strings.ContainsAny(got, "\n\x1b") {
		t.Errorf("got %q", got)
	}
}
