// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// unquote returns the text of a valid string literal. Without escapes it returns a slice of the literal.
func unquote(literal []byte) []byte { return unescape(literal[1 : len(literal)-1]) }

// unescape returns the text of a valid string literal without quotes.
func unescape(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	text := make([]byte, 0, len(raw)) // no escape is shorter than its text
	for reader := (stringReader{raw: raw}); ; {
		c, ok := reader.next()
		if !ok {
			return text
		}
		text = append(text, c)
	}
}

// nameIs reports whether a valid string literal without quotes equals the name. It does not allocate.
func nameIs(raw []byte, name string) bool {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw) == name
	}
	reader := stringReader{raw: raw}
	for i := 0; ; i++ {
		c, ok := reader.next()
		if !ok || i == len(name) || c != name[i] {
			return !ok && i == len(name)
		}
	}
}

// compareNames compares the texts of two valid string literals without quotes. It does not allocate.
func compareNames(a, b []byte) int {
	if bytes.IndexByte(a, '\\') < 0 && bytes.IndexByte(b, '\\') < 0 {
		return bytes.Compare(a, b)
	}
	readA, readB := stringReader{raw: a}, stringReader{raw: b}
	for {
		nextA, okA := readA.next()
		nextB, okB := readB.next()
		switch {
		case !okA && !okB:
			return 0
		case !okA || okB && nextA < nextB:
			return -1
		case !okB || nextA > nextB:
			return 1
		}
	}
}

// stringReader reads the text of a valid string literal byte by byte.
type stringReader struct {
	raw     []byte            // the unread part of the literal, without quotes
	escaped [utf8.UTFMax]byte // the text of the last escape, right-aligned
	pending int               // the number of unread bytes at the end of escaped
}

func (r *stringReader) next() (c byte, ok bool) {
	switch {
	case r.pending > 0:
		c = r.escaped[len(r.escaped)-r.pending]
		r.pending--
		return c, true
	case len(r.raw) == 0:
		return 0, false
	case r.raw[0] != '\\':
		c, r.raw = r.raw[0], r.raw[1:]
		return c, true
	}
	var buffer [utf8.UTFMax]byte
	n := utf8.EncodeRune(buffer[:], r.readEscape())
	r.pending = copy(r.escaped[len(r.escaped)-n:], buffer[:n])
	return r.next()
}

// readEscape reads the escape at the beginning of the literal and returns its text.
func (r *stringReader) readEscape() rune {
	kind := r.raw[1]
	if kind != 'u' {
		r.raw = r.raw[2:]
		return simpleEscape(kind)
	}
	unit := utf16Unit(r.raw)
	r.raw = r.raw[6:]
	if !utf16.IsSurrogate(unit) {
		return unit
	}
	second := utf16Unit(r.raw)
	r.raw = r.raw[6:]
	return utf16.DecodeRune(unit, second)
}

func simpleEscape(kind byte) rune {
	switch kind {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return rune(kind) // a quote, a slash or a backslash
}

// utf16Unit returns the code unit of the escape \uXXXX at the beginning of the text, or 0 if there is no such escape.
// The text must be at least as long as an escape.
func utf16Unit(text []byte) rune {
	if text[0] != '\\' || text[1] != 'u' {
		return 0
	}
	unit, _ := strconv.ParseUint(string(text[2:6]), 16, 16)
	return rune(unit)
}
