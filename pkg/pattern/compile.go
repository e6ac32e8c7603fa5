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
	// MaxRegexpBytes limits the text of a regular expression.
	MaxRegexpBytes = 1024
	// MaxRegexpSize limits the program of a regular expression, in instructions.
	MaxRegexpSize = 1000
	// maxClasses limits how often a regular expression may name a Unicode class. Parsing a class takes as long as
	// parsing a hundred letters.
	maxClasses = 8
	// runesPerInstruction is how many runes of a class count as one instruction.
	runesPerInstruction = 16
)

// Expression is a compiled regular expression with its match cost. It is safe for concurrent use.
type Expression struct {
	compiled *regexp.Regexp
	size     int
}

// MatchString reports whether the text contains a match.
func (r *Expression) MatchString(text string) bool { return r.compiled.MatchString(text) }

// Cost returns the maximum number of steps to match a text of the given size in bytes.
func (r *Expression) Cost(bytes int) int { return r.size * (bytes + 1) }

// parseRegexp parses an expression and returns the size of its program, without building the program.
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
		return 0, fmt.Errorf("the regular expression is too large: it compiles to %s instructions, "+
			"at most %d are allowed; "+
			"repeat less", formatSize(size), MaxRegexpSize)
	}
	return size, nil
}

// compileRegexp compiles an expression within the size limits.
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

// checkParseCost rejects short expressions that are slow to parse. A range that ends beyond ASCII can take 10 ms in a
// case-insensitive class; no image tag has such characters. Escaped backslashes are not treated specially; this does
// not affect realistic expressions.
func checkParseCost(text string) error {
	beyondASCII := func(r rune) bool { return r >= utf8.RuneSelf }
	if strings.ContainsFunc(text, beyondASCII) || strings.Contains(text, `\x{`) {
		return errors.New("the regular expression contains a non-ASCII character, which no tag can have")
	}
	if n := strings.Count(text, `\p`) + strings.Count(text, `\P`); n > maxClasses {
		return fmt.Errorf(`the regular expression names classes such as \pL %d times; at most %d are allowed`,
			n, maxClasses)
	}
	return nil
}

// maxProgramSize caps computed sizes: nested repetitions multiply and must not overflow.
const maxProgramSize = 1 << 20

func formatSize(size int) string {
	if size >= maxProgramSize {
		return fmt.Sprintf("more than %d", maxProgramSize)
	}
	return fmt.Sprint(size)
}

// programSize returns an upper bound of the number of instructions that an expression compiles to, at most
// maxProgramSize. It follows regexp/syntax, whose own limit of three million instructions is too high here.
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
	default: // as large as its parts
	}
	return min(max(size, 1), maxProgramSize)
}

// repeatSize returns the size of x{least,most} for an x of the given size: xx(x(x(x)?)?)?, or xxx+ without an upper
// bound. The parser accepts bounds up to 1000.
func repeatSize(least, most, size int) int {
	if most < 0 {
		return 2 + max(least, 1)*size
	}
	return most*size + most - least
}

// MaxConstraintBytes limits the text of a semver constraint and thereby the number of comparisons. Realistic
// constraints are far shorter. It is small enough to repeat in a stored error.
const MaxConstraintBytes = 256

// compileConstraint compiles a semver constraint within the size limit.
func compileConstraint(text string) (*semver.Constraints, error) {
	if len(text) > MaxConstraintBytes {
		return nil, tooLongError("semver constraint", len(text), MaxConstraintBytes)
	}
	return semver.NewConstraint(text)
}

// tooLongError returns the error for a text that is too long to parse.
func tooLongError(what string, bytes, most int) error {
	return fmt.Errorf("the %s has %d bytes, which is too long; at most %d are allowed", what, bytes, most)
}
