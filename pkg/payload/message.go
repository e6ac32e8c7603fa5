// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"mime"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"sigs.k8s.io/json"
)

// message is a delivery whose body is valid strict JSON.
type message struct {
	source       string // the type of sender, once it is chosen
	header       http.Header
	body         []byte
	object       object // empty for a batch
	batch        bool   // of CloudEvents; the body is an array
	registryURL  string
	addressCache *addressCache
	// registryURLs and signed are copied from the Input.
	registryURLs func(source string) string
	signed       bool
}

// byteOrderMark precedes the text of some programs on Windows. RFC 8259, section 8.1, lets parsers ignore it.
const byteOrderMark = "\ufeff"

func readMessage(in Input) (message, error) {
	body := bytes.TrimPrefix(in.Body, []byte(byteOrderMark))
	if isForm(in.Header, body) {
		var err error
		if body, err = formPayload(body); err != nil {
			return message{}, err
		}
	}
	m := message{
		header: in.Header, body: body, batch: hasMediaType(in.Header, cloudEventsBatchMediaType),
		registryURL: in.RegistryURL, registryURLs: in.RegistryURLs, signed: in.Signed, addressCache: &addressCache{},
	}
	var err error
	if m.batch {
		err = parseStrictArray(body)
	} else {
		m.object, err = parseStrict(body)
	}
	return m, err
}

func (m message) has(path ...string) bool {
	return m.object.find(path...) != nil
}

// text returns the string at the path, or "" if there is none or the path is empty.
func (m message) text(path ...string) string {
	if len(path) == 0 {
		return ""
	}
	if value := m.object.find(path...); len(value) > 0 && value[0] == '"' {
		return string(unquote(value))
	}
	return ""
}

// deliveryID returns the sender's id of the delivery from the first header that is not empty.
func (m message) deliveryID(headers ...string) (string, error) {
	name, id := firstHeader(m.header, headers...)
	return cleanID("the header "+name, id)
}

// firstHeader returns the name and value of the first header that is not empty.
func firstHeader(h http.Header, names ...string) (name, value string) {
	for _, name := range names {
		if value := h.Get(name); value != "" {
			return name, value
		}
	}
	return "", ""
}

// cleanID validates an id, which may be empty. place is where it was found, for errors.
func cleanID(place, id string) (string, error) {
	notPrintable := func(r rune) bool { return r < ' ' || r > '~' }
	if len(id) > 128 || strings.ContainsFunc(id, notPrintable) {
		return "", refuse(ErrorInvalidField, "%s must be at most 128 printable ASCII characters, not %s",
			place, quote(id))
	}
	return id, nil
}

// cloudEventsBatchMediaType is the media type of a batch of CloudEvents:
// https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md#4-json-batch-format
const cloudEventsBatchMediaType = "application/cloudevents-batch+json"

func hasMediaType(h http.Header, want string) bool {
	return mediaType(h) == want
}

// maxContentTypeBytes limits the Content-Type, because parsing its parameters costs many times their size.
const maxContentTypeBytes = 256

// mediaType returns the media type of the Content-Type in lower case, or "".
func mediaType(h http.Header) string {
	contentType := h.Get("Content-Type")
	if len(contentType) > maxContentTypeBytes {
		return ""
	}
	mediaType, _, _ := mime.ParseMediaType(contentType)
	return mediaType
}

// decodeAs decodes the fields of T from the body. Names are case-sensitive; unknown fields are skipped.
func decodeAs[T any](m message) (T, error) {
	var v T
	err := json.UnmarshalCaseSensitivePreserveInts(m.body, &v)
	var mistyped *stdjson.UnmarshalTypeError
	var refused *Error
	switch {
	case errors.As(err, &refused): // by list.UnmarshalJSON
		return v, refused
	case errors.As(err, &mistyped):
		return v, refuse(ErrorInvalidField, "%s must be %s, got %s", mistyped.Field, typeName(mistyped.Type),
			mistyped.Value)
	case err != nil:
		return v, refuse(ErrorMalformedBody, "could not read the JSON body")
	}
	return v, nil
}

// typeName returns the JSON name of a Go type for errors.
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

// maxListItems limits the items that are read of a list. At most MaxEvents of them may become events. The others are
// ignored: deleted refs, layers, events of other kinds.
const maxListItems = 1024

// list is an array in a payload that is decoded item by item. An item takes much more memory than "{}" takes in a body,
// so all arrays in payload types must be lists.
type list[T any] []T

// UnmarshalJSON counts the items before it allocates them. It returns an *Error if there are too many.
func (l *list[T]) UnmarshalJSON(raw []byte) error {
	n := countElements(raw)
	if n > maxListItems {
		return refuse(ErrorTooComplex,
			"the body has a list of %d items, but at most %d are read: send fewer at once", n, maxListItems)
	}
	*l = make(list[T], 0, n)
	return json.UnmarshalCaseSensitivePreserveInts(raw, (*[]T)(l))
}

// rawValue is an undecoded value; it aliases the body.
type rawValue []byte

// UnmarshalJSON never fails.
func (v *rawValue) UnmarshalJSON(raw []byte) error {
	*v = raw
	return nil
}

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
