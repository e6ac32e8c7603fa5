// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// unquote returns the text of a valid string literal. It is a part of the literal unless that has escapes.
func unquote(literal []byte) []byte { return unescape(literal[1 : len(literal)-1]) }

// unescape returns the text of a valid string literal without its quotes.
func unescape(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	text := make([]byte, 0, len(raw)) // no escape is shorter than what it stands for
	for reader := (stringReader{raw: raw}); ; {
		c, ok := reader.next()
		if !ok {
			return text
		}
		text = append(text, c)
	}
}

// nameIs reports whether a valid string literal without its quotes is that name. It allocates nothing.
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

// compareNames compares the texts of two valid string literals without their quotes. It allocates nothing.
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

// stringReader reads the text of a valid string literal, byte by byte.
type stringReader struct {
	raw     []byte            // what is left of the literal, without quotes
	escaped [utf8.UTFMax]byte // the rest of what the last escape stands for
	pending int               // how many bytes of that are left, at its end
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

// readEscape returns what the escape stands for with which the rest of the literal begins, and takes it off.
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

// utf16Unit returns the code unit in the escape \uXXXX with which the text begins, or 0 if it begins otherwise. The text
// is as long as an escape.
func utf16Unit(text []byte) rune {
	if text[0] != '\\' || text[1] != 'u' {
		return 0
	}
	unit, _ := strconv.ParseUint(string(text[2:6]), 16, 16)
	return rune(unit)
}
