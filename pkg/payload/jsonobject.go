// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
)

// object is a JSON object of a body that scan has accepted.
type object struct {
	text    []byte
	members []member // in the order of the text
}

// member is a name without its quotes, and a value, as they are in the text.
type member struct{ name, value span }

// span is a part of a text: positions and not a slice, which would take three times as much for each of thousands. No body
// is as large as 4 GiB.
type span struct{ start, end uint32 }

func (s span) in(text []byte) []byte { return text[s.start:s.end] }

// trimmed returns the part of the text between two positions without the white space around it.
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

// find returns the value at the path, as it is in the text, or nil. It allocates nothing.
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

// memberValue returns the value of that name in the text of a valid object, or nil, also if the text is no object.
func memberValue(text []byte, name string) []byte {
	if len(text) == 0 || text[0] != '{' {
		return nil
	}
	for i := skipSpace(text, 1); text[i] != '}'; {
		nameEnd := skipValue(text, i)
		start := skipSpace(text, skipSpace(text, nameEnd)+1) // behind the colon
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

// skipValue returns where the value ends that begins at i in valid JSON.
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
			if depth < 0 { // the end of what holds a number or a word
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

// stringEnd returns the position behind the string literal that begins at i in valid JSON.
func stringEnd(text []byte, i int) int {
	for i++; text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++ // what is escaped ends nothing
		}
	}
	return i + 1
}

// ExtractValue takes a value out of the text of a JSON object that holds a payload, before anything is made of either. It returns
// the value, a part of the text, and a copy of the text that has {} in its place; nil and the text itself if there is no
// such value. Beside the value, the object may hold maxParts names and values. The error is an *Error. No text, and JSON that is
// not an object, is returned as it is. The text is never modified.
func ExtractValue(text []byte, maxTokens int, path ...string) (value, rest []byte, err error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, text, nil
	}
	// Not all parsers refuse the same, as text that is not UTF-8: what is not read here must not be read by another.
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
		start := cap(valid) - cap(value) // both are parts of one array, and end with it
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
			"the object holds %d names and values beside the payload, of which at most %d are read", size.tokens, maxTokens)
	}
	return value, rest, nil
}
