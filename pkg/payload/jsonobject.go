// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
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
// either is decoded. The value is a slice of the text. If there is no such value, or it is null, it returns nil and the
// object unchanged. The rest of the object may have at most maxTokens names and values. The error is an *Error. An
// empty text, and JSON that is not an object, is returned unchanged. The text is never modified.
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
	if valid[0] != '{' {
		return nil, text, nil
	}
	obj, err := scan(valid)
	if err != nil {
		return nil, text, err
	}
	value, rest = obj.find(path...), valid
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
