// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"encoding/json"
	"reflect"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// timestamp parses a time as senders write it: a string in RFC 3339, or whole seconds since 1970. GitHub uses both for
// repository.pushed_at, depending on the event. null and 0 mean unknown. The offset may lack the colon, as in ISO 8601
// and Java.
type timestamp struct{ time time.Time }

// microTime returns the time of an event, with the precision of the API; nil if it is unknown.
func (t timestamp) microTime() *metav1.MicroTime {
	if t.time.IsZero() {
		return nil
	}
	return &metav1.MicroTime{Time: t.time.Truncate(time.Microsecond)}
}

// timeLayouts are tried in order. They also accept fractional seconds.
var timeLayouts = [...]string{time.RFC3339, "2006-01-02T15:04:05Z0700"}

// maxEpoch is the last second of the year 9999, the limit of RFC 3339.
const maxEpoch = 253402300799

// UnmarshalJSON returns a *json.UnmarshalTypeError; the decoder adds the field name.
func (t *timestamp) UnmarshalJSON(raw []byte) error {
	if len(raw) > maxTimeBytes {
		return errNotTime(string(raw[:maxTimeBytes]))
	}
	text := string(raw)
	if text == "null" || text == "0" {
		return nil
	}
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil && seconds > 0 && seconds <= maxEpoch {
		t.time = time.Unix(seconds, 0).UTC()
		return nil
	}
	if err := json.Unmarshal(raw, &text); err == nil {
		for _, layout := range timeLayouts {
			if parsed, err := time.Parse(layout, text); err == nil && isRFC3339InUTC(parsed) {
				t.time = parsed.UTC()
				return nil
			}
		}
	}
	return errNotTime(text)
}

// maxTimeBytes limits the text that is parsed as a time. The errors of the parsers repeat their input several times.
const maxTimeBytes = 128

func errNotTime(text string) error {
	return &json.UnmarshalTypeError{Value: quote(text).String(), Type: reflect.TypeFor[timestamp]()}
}

// isRFC3339InUTC reports whether t can be written as RFC 3339 in UTC: the conversion may leave the years 0 to 9999.
func isRFC3339InUTC(t time.Time) bool {
	year := t.UTC().Year()
	return year >= 0 && year <= 9999
}

// lenientTime is a timestamp that is unknown if it cannot be parsed. It is for hosts whose time formats vary between
// versions: a time only orders events, so a failed parse must not fail the delivery.
type lenientTime struct{ timestamp }

// UnmarshalJSON never fails. In addition to timestamp formats, it parses the formats of Ruby and thus GitLab.
func (t *lenientTime) UnmarshalJSON(raw []byte) error {
	if len(raw) > maxTimeBytes {
		return nil
	}
	var strict timestamp
	if strict.UnmarshalJSON(raw) == nil {
		t.time = strict.time
		return nil
	}
	var text string
	_ = json.Unmarshal(raw, &text) // other types leave the time unknown
	for _, layout := range [...]string{"2006-01-02 15:04:05 UTC", "2006-01-02 15:04:05 -0700"} {
		if parsed, err := time.Parse(layout, text); err == nil && isRFC3339InUTC(parsed) {
			t.time = parsed.UTC()
		}
	}
	return nil
}
