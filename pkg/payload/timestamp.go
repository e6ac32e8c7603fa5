// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"encoding/json"
	"reflect"
	"strconv"
	"time"
)

// timestamp reads a time as senders write it: RFC 3339 in a string, or whole seconds since 1970. GitHub writes
// repository.pushed_at in both ways, depending on the event. null and 0 are unknown. In the offset, the colon may be
// missing, as ISO 8601 allows and Java likes it.
type timestamp struct{ time time.Time }

// timeLayouts are tried in turn. They accept fractions of a second too.
var timeLayouts = [...]string{time.RFC3339, "2006-01-02T15:04:05Z0700"}

// maxEpoch is the last second of the year 9999, the last that RFC 3339 can express.
const maxEpoch = 253402300799

// UnmarshalJSON returns a *json.UnmarshalTypeError, to which the decoder adds the name of the field.
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

// maxTimeBytes bounds what is tried as a time. The errors of the parsers repeat what they were given, several times.
const maxTimeBytes = 128

func errNotTime(text string) error {
	return &json.UnmarshalTypeError{Value: quote(text).String(), Type: reflect.TypeFor[timestamp]()}
}

// isRFC3339InUTC reports whether t can be written in UTC: its zone may take it out of the years that RFC 3339 has.
func isRFC3339InUTC(t time.Time) bool {
	year := t.UTC().Year()
	return year >= 0 && year <= 9999
}

// lenientTime is a timestamp that is unknown when it cannot be read. It is for hosts that write times in more ways, and in
// another one with the next version: a time only tells older events from newer ones, which is not worth a delivery.
type lenientTime struct{ time time.Time }

// UnmarshalJSON never fails. Beside what a timestamp may be, it reads how Ruby writes times, and with it GitLab.
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
	_ = json.Unmarshal(raw, &text) // what is no text is no time that is known here
	for _, layout := range [...]string{"2006-01-02 15:04:05 UTC", "2006-01-02 15:04:05 -0700"} {
		if parsed, err := time.Parse(layout, text); err == nil && isRFC3339InUTC(parsed) {
			t.time = parsed.UTC()
		}
	}
	return nil
}
