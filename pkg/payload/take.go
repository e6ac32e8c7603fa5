// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import "bytes"

// Take takes a value out of the text of a JSON object that holds a payload, before anything is made of either. It returns
// the value, a part of the text, and a copy of the text that has {} in its place; nil and the text itself if there is no
// such value. Beside the value, the object may hold maxParts names and values. The error is an *Error. No text, and JSON that is
// not an object, is returned as it is. The text is never modified.
func Take(text []byte, maxParts int, path ...string) (value, rest []byte, err error) {
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
	if size.parts > maxParts {
		return nil, text, refuse(ErrorTooComplex,
			"the object holds %d names and values beside the payload, of which at most %d are read", size.parts, maxParts)
	}
	return value, rest, nil
}
