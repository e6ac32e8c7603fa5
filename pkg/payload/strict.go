// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonSpace is white space according to RFC 8259.
const jsonSpace = " \t\r\n"

// parseStrict accepts exactly one JSON object that every parser reads alike, as required by I-JSON (RFC 7493): UTF-8,
// no duplicate names at any level, no lone surrogates. Parsers interpret other input differently, and the system that
// signed or inspected the payload must have seen the same content.
func parseStrict(body []byte) (object, error) {
	text, err := validJSON(body)
	if err != nil {
		return object{}, err
	}
	if text[0] != '{' {
		return object{}, refuse(ErrorMalformedBody, "the body must be a JSON object: wrap it in one")
	}
	return scan(text)
}

func parseStrictArray(body []byte) error {
	text, err := validJSON(body)
	if err != nil {
		return err
	}
	if text[0] != '[' {
		return refuse(ErrorMalformedBody, "the body must be a JSON array, because the Content-Type is for a batch")
	}
	_, err = scan(text)
	return err
}

// validJSON returns the body without surrounding white space, or an error unless it is JSON in UTF-8.
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

// syntaxError explains why json.Valid refused the text, without repeating the text.
func syntaxError(text []byte) string {
	err := json.Unmarshal(text, new(json.RawMessage))
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("%v, at byte %d", syntax, syntax.Offset)
	}
	return "it has a syntax error"
}

// scan returns the object in text, which must be valid JSON. It refuses content that I-JSON forbids, and texts that
// exceed the limits. An array has no members.
//
// It keeps its own stack, so that deep nesting cannot exhaust the goroutine's stack. Memory is computed in advance: 16
// bytes for each member, and 8 for each name of the objects that are open at the same time.
func scan(text []byte) (object, error) {
	size, err := measure(text)
	if err != nil {
		return object{}, err
	}
	var (
		obj      = object{text: text, members: make([]member, 0, size.members)}
		open     [maxDepth]int                     // index into names for each open object; -1 for an array
		depth    int                               // number of open objects and arrays
		names    = make([]span, 0, size.openNames) // names of all open objects
		wantName bool                              // the next string is a name
		value    int                               // start of the value of the current outermost member, or 0
	)
	for i := 0; i < len(text); i++ {
		if depth == 1 && value > 0 && (text[i] == ',' || text[i] == '}') {
			obj.members = append(obj.members, member{names[len(names)-1], trimmed(text, value, i)})
			value = 0
		}
		switch text[i] {
		case '{', '[':
			wantName = text[i] == '{'
			if wantName {
				open[depth] = len(names)
			} else {
				open[depth] = -1
			}
			depth++
		case '}':
			depth--
			first := open[depth]
			if name, found := duplicate(text, names[first:]); found {
				return object{}, refuse(ErrorMalformedBody, "the body has the name %s twice in one object", quote(name))
			}
			names = names[:first]
		case ']':
			depth--
		case ',':
			wantName = open[depth-1] >= 0
		case ':':
			wantName = false
			if depth == 1 {
				value = i + 1
			}
		case '"':
			literal, err := scanString(text[i:])
			if err != nil {
				return object{}, err
			}
			if wantName {
				names = append(names, span{uint32(i + 1), uint32(i + len(literal) - 1)})
			}
			i += len(literal) - 1
		}
	}
	return obj, nil
}

// duplicate returns a name that occurs twice, and whether there is one. It sorts names.
func duplicate(text []byte, names []span) (name string, found bool) {
	slices.SortFunc(names, func(a, b span) int { return compareNames(a.in(text), b.in(text)) })
	for i := 1; i < len(names); i++ {
		if compareNames(names[i-1].in(text), names[i].in(text)) == 0 {
			return string(unescape(names[i].in(text))), true
		}
	}
	return "", false
}

// scanString returns the string literal, with its quotes, at the beginning of the text.
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
				return nil, refuse(ErrorMalformedBody,
					`the body has a string with half of a surrogate pair, %s: it is not Unicode`,
					text[i-5:i+1])
			}
			i += 6
		}
	}
}

const (
	// maxDepth limits the nesting of objects and arrays. Real payloads stay below 20.
	maxDepth = 1000

	// A body may have baseTokens names and values, plus one for every bytesPerToken bytes. In real payloads, each takes
	// at least 20 bytes. Denser bodies are attacks on memory, or data that no webhook sends.
	baseTokens, bytesPerToken = 32 << 10, 8
)

// jsonSize describes the size of a JSON text as far as it determines the cost of parsing.
type jsonSize struct {
	tokens    int // names and values, at all levels
	members   int // members of the outermost object
	openNames int // the maximum number of names of all objects open at the same time
}

// measure computes the size of a valid JSON text before it is decoded, and refuses texts that exceed the limits. It
// does not allocate.
func measure(text []byte) (jsonSize, error) {
	var (
		size  jsonSize
		limit = baseTokens + len(text)/bytesPerToken
		names [maxDepth]int32 // names of each open object
		depth int             // number of open objects and arrays
		open  int             // the sum of names
	)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '{' || c == '[':
			if depth == maxDepth {
				return size, refuse(ErrorMalformedBody, "the body nests more than %d levels deep", maxDepth)
			}
			names[depth] = 0
			depth++
			size.tokens++
		case c == '}' || c == ']':
			depth--
			open -= int(names[depth])
		case c == ':':
			names[depth-1]++
			open++
			size.openNames = max(size.openNames, open)
			if depth == 1 {
				size.members++
			}
		case c == '"':
			i = stringEnd(text, i) - 1
			size.tokens++
		case c == ',' || isJSONSpace(c):
		default: // a number or a word
			i = skipValue(text, i) - 1
			size.tokens++
		}
		if size.tokens > limit {
			return size, refuse(ErrorTooComplex,
				"the body has more than %d names and values, the limit for %d bytes: "+
					"send less in one body", limit, len(text))
		}
	}
	return size, nil
}

// countElements returns the number of elements of an array in valid JSON; 0 if the text is not an array. It does not
// allocate.
func countElements(text []byte) (n int) {
	if len(text) == 0 || text[0] != '[' {
		return 0
	}
	for i := skipSpace(text, 1); text[i] != ']'; n++ {
		if i = skipSpace(text, skipValue(text, i)); text[i] == ',' {
			i = skipSpace(text, i+1)
		}
	}
	return n
}
