// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package pattern

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"

	"github.com/Masterminds/semver/v3"
)

const (
	// MaxRegexpBytes bounds the text of a regular expression.
	MaxRegexpBytes = 1024
	// MaxRegexpSize bounds the program of a regular expression, in instructions.
	MaxRegexpSize = 1000
	// maxClasses bounds how often a regular expression may name a class of Unicode,
	// which takes as long to parse as a hundred letters do.
	maxClasses = 8
	// runesPerInstruction is how many runes of a class weigh as much as an instruction.
	runesPerInstruction = 16
)

// Expression is a compiled regular expression, and what it costs to match with it. It is
// safe for concurrent use.
type Expression struct {
	compiled *regexp.Regexp
	size     int
}

// MatchString reports whether the text holds a match.
func (r *Expression) MatchString(text string) bool { return r.compiled.MatchString(text) }

// Cost is the most steps that it takes to match a text of so many bytes.
func (r *Expression) Cost(bytes int) int { return r.size * (bytes + 1) }

// parseRegexp parses an expression and measures its program, which it does not make.
func parseRegexp(text string) (size int, err error) {
	if len(text) > MaxRegexpBytes {
		return 0, tooLongError("regular expression", len(text), MaxRegexpBytes)
	}
	if err := checkParseCost(text); err != nil {
		return 0, err
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return 0, err
	}
	if size = programSize(parsed); size > MaxRegexpSize {
		return 0, fmt.Errorf("the regular expression is too large: it compiles to %s instructions, at most %d are taken; "+
			"repeat less", formatSize(size), MaxRegexpSize)
	}
	return size, nil
}

// compileRegexp compiles an expression, if it is small enough.
func compileRegexp(text string) (*Expression, error) {
	size, err := parseRegexp(text)
	if err != nil {
		return nil, err
	}
	compiled, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	return &Expression{compiled, size}, nil
}

// checkParseCost is an error about an expression that takes long to parse although it is
// short. A range that ends beyond ASCII may take 10 ms in a class that is to match in
// any case; no tag of an image has such a character. That a backslash may be escaped
// itself makes no difference to what people write.
func checkParseCost(text string) error {
	beyondASCII := func(r rune) bool { return r >= utf8.RuneSelf }
	if strings.ContainsFunc(text, beyondASCII) || strings.Contains(text, `\x{`) {
		return errors.New("the regular expression names a character beyond ASCII, which no tag has")
	}
	if n := strings.Count(text, `\p`) + strings.Count(text, `\P`); n > maxClasses {
		return fmt.Errorf(`the regular expression names classes such as \pL %d times; at most %d are taken`, n, maxClasses)
	}
	return nil
}

// maxProgramSize is the size of all that is larger: nested repetitions multiply, and must
// not overflow.
const maxProgramSize = 1 << 20

func formatSize(size int) string {
	if size >= maxProgramSize {
		return fmt.Sprintf("more than %d", maxProgramSize)
	}
	return fmt.Sprint(size)
}

// programSize is the size of the program that an expression compiles to, in instructions;
// never less than it has, and at most maxProgramSize. It follows regexp/syntax, whose own
// limit, of some three million instructions, is of no use here.
func programSize(re *syntax.Regexp) int {
	subs := 0
	for _, sub := range re.Sub {
		subs = min(subs+programSize(sub), maxProgramSize)
	}
	size := subs
	switch re.Op {
	case syntax.OpLiteral:
		size = len(re.Rune)
	case syntax.OpCharClass:
		size = 1 + len(re.Rune)/runesPerInstruction
	case syntax.OpCapture, syntax.OpStar:
		size = 2 + subs
	case syntax.OpPlus, syntax.OpQuest:
		size = 1 + subs
	case syntax.OpAlternate:
		size = subs + len(re.Sub) - 1
	case syntax.OpRepeat:
		size = repeatSize(re.Min, re.Max, subs)
	}
	return min(max(size, 1), maxProgramSize)
}

// repeatSize is the size of x{least,most} if x has the given one: xx(x(x(x)?)?)?, or
// xxx+ without an upper bound. The parser takes bounds up to 1000.
func repeatSize(least, most, size int) int {
	if most < 0 {
		return 2 + max(least, 1)*size
	}
	return most*size + most - least
}

// MaxConstraintBytes bounds the text of a semver constraint, and with it the number of
// comparisons. It is far beyond what people write, and small enough to repeat in an
// error that is stored.
const MaxConstraintBytes = 256

// compileConstraint compiles a semver constraint, if it is short enough.
func compileConstraint(text string) (*semver.Constraints, error) {
	if len(text) > MaxConstraintBytes {
		return nil, tooLongError("semver constraint", len(text), MaxConstraintBytes)
	}
	return semver.NewConstraint(text)
}

// tooLongError is the error about a text that is not even parsed.
func tooLongError(what string, bytes, most int) error {
	return fmt.Errorf("the %s has %d bytes, which is too long; at most %d are taken", what, bytes, most)
}
