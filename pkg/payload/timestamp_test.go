// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"encoding/json"
	"testing"
	"time"
)

func TestLenientTime_NeverFails(t *testing.T) {
	at := time.Date(2026, 3, 4, 9, 30, 45, 0, time.UTC)
	tests := []struct {
		raw  string
		want time.Time
	}{
		{`1772616645`, at},
		{`"2026-03-04T09:30:45Z"`, at},
		{`"2026-03-04T19:30:45+1000"`, at},
		{`"2026-03-04T09:30:45.123Z"`, at.Add(123 * time.Millisecond)},
		{`"2026-03-04 09:30:45 UTC"`, at},
		{`"2026-03-04 10:30:45 +0100"`, at},
		{`"2026-03-04 09:30:45"`, time.Time{}},
		{`"2026-03-04 09:30:45 CET"`, time.Time{}},
		{`"9999-12-31 23:59:59 -1200"`, time.Time{}},
		{`1772616645123`, time.Time{}},
		{`"yesterday"`, time.Time{}},
		{`null`, time.Time{}},
		{`true`, time.Time{}},
		{`{"at": 1}`, time.Time{}},
		{`[]`, time.Time{}},
	}
	for _, tt := range tests {
		var got lenientTime
		if err := json.Unmarshal([]byte(tt.raw), &got); err != nil || !got.time.Equal(tt.want) ||
			got.time.Location() != time.UTC {
			t.Errorf("%s: %v, %v, want %v", tt.raw, got.time, err, tt.want)
		}
	}
}

// Such a time could be stored but not parsed again.
func TestTimestamp_RFC3339YearsInUTC(t *testing.T) {
	for _, raw := range []string{`"9999-12-31T23:59:59-12:00"`, `"0000-01-01T00:00:00+14:00"`} {
		var got timestamp
		if err := json.Unmarshal([]byte(raw), &got); err == nil {
			t.Errorf("%s: %v, want an error", raw, got.time)
		}
	}
}
