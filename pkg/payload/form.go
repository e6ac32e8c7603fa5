// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
	"net/http"
	"strconv"
)

// isForm reports whether the body is a form. What starts with a brace is JSON whatever the Content-Type says, because
// `curl -d '{…}'` labels it as a form; `kubectl create --raw` labels nothing.
func isForm(h http.Header, body []byte) bool {
	if bytes.HasPrefix(bytes.TrimLeft(body, jsonSpace), []byte("{")) {
		return false
	}
	if h.Get("Content-Type") == "" {
		return bytes.HasPrefix(body, []byte("payload="))
	}
	return hasMediaType(h, "application/x-www-form-urlencoded")
}

// formPayload returns the JSON in the field "payload", in which GitHub puts it when a webhook's content type is "form":
// https://docs.github.com/en/webhooks/using-webhooks/creating-webhooks
//
// It reads forms as url.ParseQuery does, but makes nothing of other fields, of which a body may have hundreds of thousands.
func formPayload(body []byte) ([]byte, error) {
	var payload []byte
	found := 0
	for field := range bytes.SplitSeq(body, []byte("&")) {
		escapedName, escapedValue, _ := bytes.Cut(field, []byte("="))
		name, nameOK := unescapeField(escapedName)
		value, valueOK := unescapeField(escapedValue)
		if !nameOK || !valueOK || bytes.IndexByte(field, ';') >= 0 {
			return nil, refuse(ErrorMalformedBody, "the body is not a valid form: send JSON, or JSON in one form field named payload")
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

// unescapeField returns what a name or a value in a form stands for: a part of the body, if nothing in it is escaped; else
// whether it is written as it must be.
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
