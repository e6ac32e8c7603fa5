// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// object is a JSON object that scan has accepted.
type object struct {
	text    []byte
	members []member // in the order of the text
}

// member is the positions of a name, without quotes, and a value.
type member struct{ name, value span }

// span is a part of a text. It stores positions because a slice takes three times as much memory. Bodies are smaller
// than 4 GiB.
type span struct{ start, end uint32 }

func (s span) in(text []byte) []byte { return text[s.start:s.end] }

// trimmed returns the text between two positions without surrounding white space.
func trimmed(text []byte, start, end int) span {
	for start < end && isJSONSpace(text[start]) {
		start++
	}
	for end > start && isJSONSpace(text[end-1]) {
		end--
	}
	return span{uint32(start), uint32(end)}
}

func isJSONSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// find returns the raw value at the path, or nil. It does not allocate.
func (o object) find(path ...string) []byte {
	for _, m := range o.members {
		if !nameIs(m.name.in(o.text), path[0]) {
			continue
		}
		value := m.value.in(o.text)
		for _, name := range path[1:] {
			value = memberValue(value, name)
		}
		return value
	}
	return nil
}

// memberValue returns the raw value of a member of a valid object, or nil. It returns nil if the text is not an object.
func memberValue(text []byte, name string) []byte {
	if len(text) == 0 || text[0] != '{' {
		return nil
	}
	for i := skipSpace(text, 1); text[i] != '}'; {
		nameEnd := skipValue(text, i)
		start := skipSpace(text, skipSpace(text, nameEnd)+1) // after the colon
		end := skipValue(text, start)
		if nameIs(text[i+1:nameEnd-1], name) {
			return text[start:end]
		}
		if i = skipSpace(text, end); text[i] == ',' {
			i = skipSpace(text, i+1)
		}
	}
	return nil
}

// eachElement calls do with each element of an array in valid JSON, until do returns false, and reports whether it
// never did. A text that is not an array has no elements.
func eachElement(text []byte, do func(element []byte) bool) bool {
	if len(text) == 0 || text[0] != '[' {
		return true
	}
	for i := skipSpace(text, 1); text[i] != ']'; {
		end := skipValue(text, i)
		if !do(text[i:end]) {
			return false
		}
		if i = skipSpace(text, end); text[i] == ',' {
			i = skipSpace(text, i+1)
		}
	}
	return true
}

func skipSpace(text []byte, i int) int {
	for i < len(text) && isJSONSpace(text[i]) {
		i++
	}
	return i
}

// skipValue returns the end of the value that begins at i in valid JSON.
func skipValue(text []byte, i int) int {
	depth := 0
	for ; i < len(text); i++ {
		switch text[i] {
		case '"':
			i = stringEnd(text, i) - 1
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
			if depth < 0 { // the end of the object or array that contains a number or a word
				return i
			}
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
		}
	}
	return i
}

// stringEnd returns the position after the string literal that begins at i in valid JSON.
func stringEnd(text []byte, i int) int {
	for i++; text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++ // an escaped quote does not end the string
		}
	}
	return i + 1
}

// ExtractValue returns the value at the path in a JSON object, and a copy of the object with {} in its place, before
// either is decoded. The value is a slice of the text. If there is no such value, or it is null, or the text is not an
// object, it returns nil and the text unchanged. The rest of the text may have at most maxTokens names and values. The
// error is an *Error. An empty text is returned unchanged. The text is never modified.
func ExtractValue(text []byte, maxTokens int, path ...string) (value, rest []byte, err error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, text, nil
	}
	// Parsers reject different texts, such as invalid UTF-8. A text that is rejected here must not reach another
	// parser.
	valid, err := validJSON(text)
	if err != nil {
		return nil, text, err
	}
	if valid[0] == '{' {
		obj, err := scan(valid)
		if err != nil {
			return nil, text, err
		}
		value = obj.find(path...)
	}
	rest = valid
	if value != nil && string(value) != "null" {
		start := cap(valid) - cap(value) // both slices end at the end of the same array
		rest = make([]byte, 0, len(valid)-len(value)+len("{}"))
		rest = append(append(append(rest, valid[:start]...), "{}"...), valid[start+len(value):]...)
	} else {
		value = nil
	}
	size, err := measure(rest)
	if err != nil {
		return nil, text, err
	}
	if size.tokens > maxTokens {
		return nil, text, refuse(ErrorTooComplex,
			"the object has %d names and values besides the payload, but at most %d are read", size.tokens, maxTokens)
	}
	return value, rest, nil
}

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
