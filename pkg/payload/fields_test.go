// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestCleanRepositoryDropsCredentialsOnly(t *testing.T) {
	tests := []struct{ repository, want string }{
		{"", ""},
		{"https://git.example.com/group/project.git", "https://git.example.com/group/project.git"},
		{"https://Git.Example.com:8443/%7Eme/project.git/", "https://Git.Example.com:8443/%7Eme/project.git/"},
		{"https://me:hunter2@git.example.com/p.git", "https://git.example.com/p.git"},
		{"HTTPS://token@git.example.com/p.git", "https://git.example.com/p.git"},
		{"https://@git.example.com/p.git", "https://git.example.com/p.git"},
		{"http://:hunter2@git.example.com/p.git", "http://git.example.com/p.git"},
		{"ssh://git@git.example.com:2222/p.git", "ssh://git@git.example.com:2222/p.git"},
		{"ssh://git:hunter2@git.example.com/p.git", "ssh://git@git.example.com/p.git"},
		{"git+ssh://git:hunter2@git.example.com/p.git", "git+ssh://git@git.example.com/p.git"},
		{"https://git.example.com/p.git?private_token=hunter2#hunter2", "https://git.example.com/p.git"},
		{"https://me:hunter2@git.example.com/p.git?private_token=hunter2", "https://git.example.com/p.git"},
		{"git@git.example.com:group/project.git", "git@git.example.com:group/project.git"},
		{"oauth2:hunter2@git.example.com/p.git", "oauth2@git.example.com/p.git"},
		{"group/project", "group/project"},
	}
	for _, tt := range tests {
		if got, err := cleanRepository(tt.repository); err != nil || got != tt.want {
			t.Errorf("cleanRepository(%q) = %q, %v, want %q", tt.repository, got, err, tt.want)
		}
	}
}

func TestCleanRepositoryRefusesWithoutRepeatingIt(t *testing.T) {
	for _, repository := range []string{
		"https://me:hunter2@git.example.com:port/p.git",
		"https://me:hunter2@git.example.com/a b",
		"https://me:hunter2@git.example.com/a\n",
		"https://me:hunter2@git.example.com/a\u202e",
		"https://me:hunter2@git.example.com/" + strings.Repeat("a", maxRepositoryBytes),
		"https://me:hun/ter2@git.example.com/%zz",
		"git::https://me:hunter2@git.example.com/p.git",
	} {
		got, err := cleanRepository(repository)
		if errorReason(t, err) != ErrorInvalidField || got != "" {
			t.Errorf("cleanRepository(%q) = %q, %v, want an error", repository, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error repeats the password: %v", err)
		}
	}
}

func TestTimestampReadsBothWaysOfWriting(t *testing.T) {
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

func TestIsCommitIDAcceptsFullIDsOnly(t *testing.T) {
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
