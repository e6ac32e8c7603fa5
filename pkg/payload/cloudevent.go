// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// cloudEvent is the event envelope that several senders use, in any of its HTTP modes:
// https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
// https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
//
// The CloudEvents SDK is not used: its parser accepts duplicate names, and would parse the output of parseStrict again.
type cloudEvent struct {
	SpecVersion string    `json:"specversion"`
	ID          string    `json:"id"`
	Type        string    `json:"type"`
	Source      string    `json:"source"`
	Subject     string    `json:"subject"`
	Time        timestamp `json:"time"`
	Data        rawValue  `json:"data"`
	DataBase64  string    `json:"data_base64"`
}

const (
	cloudEventMediaType       = "application/cloudevents+json"
	cloudEventsBatchMediaType = "application/cloudevents-batch+json"
)

func isCloudEventsBatch(h http.Header) bool {
	return hasMediaType(h, cloudEventsBatchMediaType)
}

// withCloudEventType matches senders in binary mode by a prefix of the event type.
func withCloudEventType(prefix string) func(http.Header) bool {
	return func(h http.Header) bool {
		eventType := h.Get("Ce-Type")
		return eventType != "" && strings.HasPrefix(eventType, prefix)
	}
}

// isStructuredCloudEvent reports whether the body is an event in structured mode whose type has the prefix.
func isStructuredCloudEvent(m message, typePrefix string) bool {
	return m.has("specversion") && m.has("type") && strings.HasPrefix(m.text("type"), typePrefix)
}

// readCloudEvent decodes the event of a message in structured or binary mode.
func readCloudEvent(m message) (cloudEvent, error) {
	read := decodeAs[cloudEvent]
	if m.header.Get("Ce-Type") != "" && !hasMediaType(m.header, cloudEventMediaType) {
		read = readBinary
	}
	e, err := read(m)
	switch {
	case err != nil:
		return e, err
	case !strings.HasPrefix(e.SpecVersion, "1."):
		return e, refuse(ErrorInvalidField, "specversion must be 1.0, not %s", quote(e.SpecVersion))
	case e.Type == "" || e.ID == "":
		return e, refuse(ErrorInvalidField, "a CloudEvent must have an id and a type")
	}
	if _, err := cleanID("the id of the CloudEvent", e.ID); err != nil {
		return e, err
	}
	_, err = cleanID("the type of the CloudEvent", e.Type)
	return e, err
}

func readBinary(m message) (e cloudEvent, err error) {
	attribute := func(name string) string {
		value, unescapeErr := url.PathUnescape(m.header.Get("Ce-" + name))
		if unescapeErr != nil || !utf8.ValidString(value) {
			err = refuse(ErrorInvalidField, "the header Ce-%s is not percent-encoded UTF-8", name)
		}
		return value
	}
	e = cloudEvent{
		SpecVersion: attribute("Specversion"),
		ID:          attribute("Id"),
		Type:        attribute("Type"),
		Source:      attribute("Source"),
		Subject:     attribute("Subject"),
		Data:        m.body,
	}
	if at := attribute("Time"); at != "" && e.Time.UnmarshalJSON(strconv.AppendQuoteToASCII(nil, at)) != nil {
		err = refuse(ErrorInvalidField, "the header Ce-Time must be an RFC 3339 time, not %s", quote(at))
	}
	return e, err
}

// data returns the event's data as a message. They must be a JSON object or missing.
func (e cloudEvent) data() (message, error) {
	text := []byte(e.Data)
	if e.DataBase64 != "" {
		decoded, err := base64.StdEncoding.DecodeString(e.DataBase64)
		if err != nil {
			return message{}, refuse(ErrorInvalidField, "data_base64 is not base64")
		}
		text = decoded
	}
	if len(text) == 0 {
		text = []byte("{}")
	}
	return innerMessage("the data of the CloudEvent", text)
}

// innerMessage parses a JSON object within a message under the same rules.
func innerMessage(place string, text []byte) (message, error) {
	obj, err := parseStrict(text)
	if err != nil {
		return message{}, refuse(ErrorMalformedBody, "%s %s", place, strings.TrimPrefix(err.Error(), "the body "))
	}
	return message{body: text, object: obj}, nil
}
