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
// repository.pushed_at in both ways, depending on the event. null and 0 are unknown.
type timestamp struct{ time time.Time }

// maxEpoch is the last second of the year 9999, the last that RFC 3339 can express.
const maxEpoch = 253402300799

// UnmarshalJSON returns a *json.UnmarshalTypeError, to which the decoder adds the name of the field.
func (t *timestamp) UnmarshalJSON(raw []byte) error {
	text := string(raw)
	if text == "null" || text == "0" {
		return nil
	}
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil && seconds > 0 && seconds <= maxEpoch {
		t.time = time.Unix(seconds, 0).UTC()
		return nil
	}
	if err := json.Unmarshal(raw, &text); err == nil {
		if parsed, err := time.Parse(time.RFC3339, text); err == nil {
			t.time = parsed.UTC()
			return nil
		}
	}
	return &json.UnmarshalTypeError{Value: quote(text), Type: reflect.TypeFor[timestamp]()}
}
