// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	// maxDepth bounds how deeply objects and arrays nest. Real payloads stay below 20.
	maxDepth = 1000

	// jsonSpace is what RFC 8259 calls white space.
	jsonSpace = " \t\r\n"
)

// parseStrict accepts exactly one JSON object that every parser reads alike, as I-JSON (RFC 7493) demands: UTF-8, no
// duplicate names at any level, no lone surrogates. Parsers differ in what they make of the rest, and whoever signed
// or inspected a payload before us must have seen what we see.
func parseStrict(body []byte) (object, error) {
	text, err := validJSON(body)
	if err != nil {
		return nil, err
	}
	if text[0] != '{' {
		return nil, refuse(ErrorMalformedBody, "the body must be a JSON object: put what it holds into one")
	}
	return scan(text)
}

// parseStrictArray accepts an array, where one is due, under the same rules.
func parseStrictArray(body []byte) error {
	text, err := validJSON(body)
	if err != nil {
		return err
	}
	if text[0] != '[' {
		return refuse(ErrorMalformedBody, "the body must be a JSON array, since its Content-Type is that of a batch")
	}
	_, err = scan(text)
	return err
}

// validJSON returns the body without the space around it if it is JSON in UTF-8.
func validJSON(body []byte) ([]byte, error) {
	text := bytes.Trim(body, jsonSpace)
	if len(text) == 0 {
		return nil, refuse(ErrorMalformedBody, "the body is empty: send a JSON object")
	}
	if !utf8.Valid(text) {
		return nil, refuse(ErrorMalformedBody, "the body is not UTF-8: send JSON in UTF-8, not compressed")
	}
	if !json.Valid(text) {
		return nil, refuse(ErrorMalformedBody, "the body is not JSON: %s", syntaxError(text))
	}
	return text, nil
}

// syntaxError explains, without repeating it, why json.Valid refused the text.
func syntaxError(text []byte) string {
	err := json.Unmarshal(text, new(json.RawMessage))
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Sprintf("%v, at byte %d", syntax, syntax.Offset)
	}
	return "it has a syntax error"
}

// object holds the members of a JSON object in the order of the text.
type object []member

type member struct {
	name  []byte
	value []byte // as in the text; never empty
}

// find returns the value at the path, as it is in the text, or nil.
func (o object) find(path ...string) []byte {
	for _, m := range o {
		if string(m.name) != path[0] {
			continue
		}
		if len(path) == 1 {
			return m.value
		}
		if m.value[0] != '{' {
			return nil
		}
		inner, _ := scan(m.value) // cannot fail: the whole was scanned before
		return inner.find(path[1:]...)
	}
	return nil
}

// scan returns the members of the object in text, which must be valid JSON, and refuses what I-JSON forbids in it. An
// array has no members.
//
// It keeps its own stack, so that no nesting exhausts the goroutine's, and one slice for all names, so that a hostile body
// costs no more memory than a few times its own size.
func scan(text []byte) (object, error) {
	var (
		members  object
		open     []int    // for each open object, where its names begin in names; -1 for an array
		names    [][]byte // of all open objects
		wantName bool     // the next string is a name
		value    int      // where the value of the current outermost member begins; 0 if there is none
	)
	for i := 0; i < len(text); i++ {
		if len(open) == 1 && value > 0 && (text[i] == ',' || text[i] == '}') {
			members = append(members, member{names[len(names)-1], bytes.Trim(text[value:i], jsonSpace)})
			value = 0
		}
		switch text[i] {
		case '{', '[':
			if len(open) == maxDepth {
				return nil, refuse(ErrorMalformedBody, "the body nests more than %d levels deep", maxDepth)
			}
			wantName = text[i] == '{'
			if wantName {
				open = append(open, len(names))
			} else {
				open = append(open, -1)
			}
		case '}':
			first := open[len(open)-1]
			if twice := duplicate(names[first:]); twice != nil {
				return nil, refuse(ErrorMalformedBody, "the body has the name %s twice in one object", quote(string(twice)))
			}
			names, open = names[:first], open[:len(open)-1]
		case ']':
			open = open[:len(open)-1]
		case ',':
			wantName = open[len(open)-1] >= 0
		case ':':
			wantName = false
			if len(open) == 1 {
				value = i + 1
			}
		case '"':
			literal, err := scanString(text[i:])
			if err != nil {
				return nil, err
			}
			if wantName {
				names = append(names, unquote(literal))
			}
			i += len(literal) - 1
		}
	}
	return members, nil
}

// duplicate returns a name that occurs twice, or nil. It sorts the names.
func duplicate(names [][]byte) []byte {
	slices.SortFunc(names, bytes.Compare)
	for i := 1; i < len(names); i++ {
		if bytes.Equal(names[i-1], names[i]) {
			return names[i]
		}
	}
	return nil
}

// scanString returns the string literal, quotes included, with which the text begins.
func scanString(text []byte) ([]byte, error) {
	for i := 1; ; i++ {
		switch text[i] {
		case '"':
			return text[:i+1], nil
		case '\\':
			i++
			if text[i] != 'u' {
				continue
			}
			unit := utf16Unit(text[i-1:])
			i += 4
			if !utf16.IsSurrogate(unit) {
				continue
			}
			if utf16.DecodeRune(unit, utf16Unit(text[i+1:])) == unicode.ReplacementChar {
				return nil, refuse(ErrorMalformedBody, `the body has a string with half of a surrogate pair, %s: it is not Unicode`,
					text[i-5:i+1])
			}
			i += 6
		}
	}
}

// utf16Unit returns the code unit in the escape \uXXXX with which the text begins, or 0 if it begins otherwise.
func utf16Unit(text []byte) rune {
	if text[0] != '\\' || text[1] != 'u' {
		return 0
	}
	unit, _ := strconv.ParseUint(string(text[2:6]), 16, 16)
	return rune(unit)
}

// unquote returns the text of a string literal.
func unquote(literal []byte) []byte {
	raw := literal[1 : len(literal)-1]
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	var s string
	_ = json.Unmarshal(literal, &s) // cannot fail: the literal is valid
	return []byte(s)
}
