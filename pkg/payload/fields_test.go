// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestTimestamp_BothFormats(t *testing.T) {
	at := time.Date(2026, 3, 4, 9, 30, 45, 0, time.UTC)
	tests := []struct {
		raw  string
		want time.Time
	}{
		{`1772616645`, at},
		{`"2026-03-04T09:30:45Z"`, at},
		{`"2026-03-04T11:30:45+02:00"`, at},
		{`"2026-03-04T11:30:45\u002B02:00"`, at},
		{`"2026-03-04T09:30:45.123456789Z"`, at.Add(123456789)},
		{`253402300799`, time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)},
		{`null`, time.Time{}},
		{`0`, time.Time{}},
	}
	for _, tt := range tests {
		var got timestamp
		if err := json.Unmarshal([]byte(tt.raw), &got); err != nil || !got.time.Equal(tt.want) ||
			got.time.Location() != time.UTC {
			t.Errorf("%s: %v, %v, want %v", tt.raw, got.time, err, tt.want)
		}
	}
	for _, raw := range []string{`""`, `"yesterday"`, `"2026-03-04"`, `-1`, `1.5`, `253402300800`, `1e99`, `true`, `{}`,
		`[]`} {
		var got timestamp
		if err := json.Unmarshal([]byte(raw), &got); err == nil {
			t.Errorf("%s: %v, want an error", raw, got.time)
		}
	}
}

func TestCommitID_FullOnly(t *testing.T) {
	for id, want := range map[string]bool{
		commitA:                            true,
		strings.Repeat("ab", 32):           true,
		zeros:                              false,
		"":                                 false,
		commitA[:39]:                       false,
		commitA + "0":                      false,
		strings.ToUpper(commitA):           false,
		"g" + commitA[1:]:                  false,
		commitA[:20] + "\n" + commitA[21:]: false,
	} {
		if got := isCommitID(id); got != want {
			t.Errorf("isCommitID(%q) = %t, want %t", id, got, want)
		}
	}
}

func TestImage_AttachmentsByTag(t *testing.T) {
	digest := "sha256:" + strings.Repeat("4b1d9c0e", 8)
	base := strings.Replace(digest, ":", "-", 1)
	for tag, want := range map[string]bool{
		base:                        true,
		base + ".sig":               true,
		base + ".att":               true,
		base + ".sbom":              true,
		base[:len(base)-1]:          false,
		strings.ToUpper(base):       false,
		"sha256-" + digest:          false,
		"v1-" + base:                false,
		"v1-" + base + ".sig":       true,
		"prod-" + base + ".att":     true,
		"x" + base + ".sbom":        true,
		"v1-" + base + "0.sig":      false,
		"v1-" + base + ".1":         false,
		"sha512-" + base[7:]:        true,
		"1.4.0":                     false,
		"":                          false,
		strings.Repeat("4b1d", 16):  false,
		"sha256-1.4.0":              false,
		"sha512-" + base[7:] + "ab": false,
	} {
		if got := isAttachmentTag(tag); got != want {
			t.Errorf("isAttachmentTag(%q) = %t, want %t", tag, got, want)
		}
	}
}
