// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package pattern

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"testing"
)

func TestRegexp_RefusesLargePrograms(t *testing.T) {
	for name, text := range map[string]string{
		"long":             strings.Repeat("a", MaxRegexpBytes+1),
		"many instances":   strings.Repeat("a{1000}", 3000),
		"few instances":    "a{1000}b",
		"nested":           "((a{1,10}){1,10}){1,10}",
		"nested and open":  "((a{10,}){10,}){10,}",
		"nothing, often":   "((?:){100}){10}a",
		"alternatives":     "(ab|cd|ef|gh|ij|kl){60}",
		"Unicode classes":  `(?i)\pL\pL\pL\pL\pL\pL\pL\pL\pL`,
		"a wide range":     "(?i)[" + `B-\x{1e942}` + "]",
		"a character":      "ä",
		"repeated class":   `\pL{13}`,
		"malformed":        "a(",
		"too many repeats": "a{1001}",
	} {
		if got, err := compileRegexp(text); err == nil {
			t.Errorf("%s: compiled to %d instructions", name, got.size)
		} else if len(err.Error()) > 200 && name != "long" {
			t.Errorf("%s: the error has %d bytes: %v", name, len(err.Error()), err)
		}
	}
}

func TestRegexp_AcceptsUsualPatterns(t *testing.T) {
	for _, text := range []string{
		"", ".*", `^v?[0-9]+\.[0-9]+\.[0-9]+(-rc\.?[0-9]+)?$`, "^[0-9a-f]{7,40}$", `^\d{4}-\d{2}-\d{2}$`,
		`^(main|master|develop|release|hotfix)-\d{8}\.\d{6}-[0-9a-f]{7,40}(-(amd64|arm64))?$`, `(?i)^\p{L}+-\w{1,100}$`,
		"^(?:" + strings.Repeat("release-candidate|", 40) + "final)$", strings.Repeat("a", 900),
	} {
		if _, err := compileRegexp(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestRegexp_ProgramSizeIsExact compares programSize with the program that regexp/syntax builds.
func TestRegexp_ProgramSizeIsExact(t *testing.T) {
	for _, text := range []string{
		"a", "abc", "a*", "a+", "a?", "a*?", "(a)", "(?:ab)+", "a|b", "abc|abd|x", "[a-z]", `\d+`, ".", "^a$", `\bx\B`,
		"a{3}", "a{3,}", "a{0,}", "a{0,3}", "a{2,5}", "(ab){2,5}", "((a{1,3}){1,3}){1,3}", "((a{2,}){2,}){2,}",
		"(a*)*", "(a|b*c?){7}", "(?i)straße", "", "a||b", "(|a){5}", "(?:){50}", `\pL{3}`, "[^a]{4}", "a{0}",
	} {
		parsed, err := syntax.Parse(text, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		program, err := syntax.Compile(parsed.Simplify())
		if err != nil {
			t.Fatal(err)
		}
		const around = 2 // every program has one instruction to fail and one to end
		if size, have := programSize(parsed), len(program.Inst)-around; size < have || size > 2*have+20 &&
			!strings.Contains(text, `\p`) {
			t.Errorf("%q: the size is %d; the program has %d", text, size, have)
		}
	}
}

func TestRegexp_MatchCostIsBounded(t *testing.T) {
	e, err := compileRegexp("^a{10}$")
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Cost(128); got != 129*e.size || e.size < 10 {
		t.Errorf("the cost is %d steps with %d instructions", got, e.size)
	}
	if want := regexp.MustCompile("^a{10}$"); e.MatchString("aaaaaaaaaa") != want.MatchString("aaaaaaaaaa") ||
		e.MatchString("a") {
		t.Error("MatchString differs from the regular expression")
	}
}

// BenchmarkRegexp measures the cost of an expression that is already compiled.
func BenchmarkRegexp(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Regexp("demo", `^v?[0-9]+\.[0-9]+\.[0-9]+$`); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRegexp_CompileLargest measures the first compilation of the largest allowed expressions, and a rejection.
func BenchmarkRegexp_CompileLargest(b *testing.B) {
	for name, text := range map[string]string{
		"Large": "^(a|b){330}$", "Classes": `^\pL{12}$`, "Refused": strings.Repeat("a{1000}", 146),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = compileRegexp(text)
			}
		})
	}
}
