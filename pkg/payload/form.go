// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
	"net/http"
	"strconv"
)

// isForm reports whether the body is a form. A body that starts with a brace is JSON regardless of the Content-Type,
// because `curl -d '{…}'` labels it as a form. `kubectl create --raw` sets no Content-Type.
func isForm(h http.Header, body []byte) bool {
	if bytes.HasPrefix(bytes.TrimLeft(body, jsonSpace), []byte("{")) {
		return false
	}
	if h.Get("Content-Type") == "" {
		return bytes.HasPrefix(body, []byte("payload="))
	}
	return hasMediaType(h, "application/x-www-form-urlencoded")
}

// formPayload returns the JSON in the field "payload". GitHub uses it if the content type of a webhook is "form":
// https://docs.github.com/en/webhooks/using-webhooks/creating-webhooks
//
// It parses forms like url.ParseQuery but does not store other fields; a body may have hundreds of thousands.
func formPayload(body []byte) ([]byte, error) {
	var payload []byte
	found := 0
	for field := range bytes.SplitSeq(body, []byte("&")) {
		escapedName, escapedValue, _ := bytes.Cut(field, []byte("="))
		name, nameOK := unescapeField(escapedName)
		value, valueOK := unescapeField(escapedValue)
		if !nameOK || !valueOK || bytes.IndexByte(field, ';') >= 0 {
			return nil, refuse(ErrorMalformedBody,
				"the body is not a valid form: send JSON, or JSON in one form field named payload")
		}
		if string(name) == "payload" {
			payload = value
			found++
		}
	}
	if found != 1 {
		return nil, refuse(ErrorMalformedBody, "the form must have exactly one field named payload, not %d", found)
	}
	return payload, nil
}

// unescapeField unescapes a name or value of a form. Without escapes it returns a part of the body. ok is false if the
// escapes are not valid.
func unescapeField(escaped []byte) (text []byte, ok bool) {
	if bytes.IndexByte(escaped, '%') < 0 && bytes.IndexByte(escaped, '+') < 0 {
		return escaped, true
	}
	text = make([]byte, 0, len(escaped))
	for i := 0; i < len(escaped); i++ {
		switch c := escaped[i]; c {
		case '+':
			text = append(text, ' ')
		case '%':
			if i+2 >= len(escaped) {
				return nil, false
			}
			c, err := strconv.ParseUint(string(escaped[i+1:i+3]), 16, 8)
			if err != nil {
				return nil, false
			}
			text = append(text, byte(c))
			i += 2
		default:
			text = append(text, c)
		}
	}
	return text, true
}
