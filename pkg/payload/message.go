// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"sigs.k8s.io/json"
)

// message is a delivery whose body is known to be strict JSON.
type message struct {
	header http.Header
	body   []byte
	object object
}

func readMessage(in Input) (message, error) {
	body := in.Body
	if isForm(in.Header, body) {
		var err error
		if body, err = formPayload(body); err != nil {
			return message{}, err
		}
	}
	obj, err := parseStrict(body)
	if err != nil {
		return message{}, err
	}
	return message{header: in.Header, body: body, object: obj}, nil
}

// has reports whether the body has the member at the path, whatever its value.
func (m message) has(path ...string) bool {
	return m.object.find(path...) != nil
}

// hasAny reports whether the body has one of the members at its top level.
func (m message) hasAny(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return m.has(name) })
}

// deliveryID returns the sender's id of the delivery, from the named header.
func (m message) deliveryID(header string) (string, error) {
	id := m.header.Get(header)
	notGraphic := func(r rune) bool { return r <= ' ' || r > '~' }
	if len(id) > 128 || strings.ContainsFunc(id, notGraphic) {
		return "", refuse(ErrorInvalidField, "the header %s must be at most 128 characters of ASCII without spaces, not %s",
			header, quote(id))
	}
	return id, nil
}

// decodeAs reads the fields of T from the body. Names are matched with case; unknown fields are skipped.
func decodeAs[T any](m message) (T, error) {
	var v T
	err := json.UnmarshalCaseSensitivePreserveInts(m.body, &v)
	var mistyped *stdjson.UnmarshalTypeError
	switch {
	case errors.As(err, &mistyped):
		return v, refuse(ErrorInvalidField, "%s must be %s, got %s", mistyped.Field, typeName(mistyped.Type), mistyped.Value)
	case err != nil:
		return v, refuse(ErrorMalformedBody, "could not read the JSON body")
	}
	return v, nil
}

// typeName returns the JSON name of the Go types that senders are decoded into.
func typeName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[timestamp]():
		return "an RFC 3339 time or the seconds since 1970"
	case t.Kind() == reflect.Struct:
		return "an object"
	case t.Kind() == reflect.Slice:
		return "an array"
	case t.Kind() == reflect.Bool:
		return "true or false"
	}
	return "a " + t.Kind().String()
}

// isForm reports whether the body is a form. What starts with a brace is JSON whatever the Content-Type says, because
// `curl -d '{…}'` labels it as a form; `kubectl create --raw` labels nothing.
func isForm(h http.Header, body []byte) bool {
	if bytes.HasPrefix(bytes.TrimLeft(body, jsonSpace), []byte("{")) {
		return false
	}
	contentType := h.Get("Content-Type")
	if contentType == "" {
		return bytes.HasPrefix(body, []byte("payload="))
	}
	mediaType, _, _ := mime.ParseMediaType(contentType)
	return mediaType == "application/x-www-form-urlencoded"
}

// formPayload returns the JSON in the field "payload", in which GitHub puts it when a webhook's content type is "form":
// https://docs.github.com/en/webhooks/using-webhooks/creating-webhooks
func formPayload(body []byte) ([]byte, error) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, refuse(ErrorMalformedBody, "the body is not a valid form: send JSON, or JSON in one form field named payload")
	}
	if fields := form["payload"]; len(fields) != 1 {
		return nil, refuse(ErrorMalformedBody, "the form must have exactly one field named payload, not %d", len(fields))
	}
	return []byte(form.Get("payload")), nil
}
