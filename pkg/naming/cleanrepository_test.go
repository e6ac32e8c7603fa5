// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package naming

import (
	"strings"
	"testing"
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
		if got, err := CleanRepository(tt.repository); err != nil || got != tt.want {
			t.Errorf("CleanRepository(%q) = %q, %v, want %q", tt.repository, got, err, tt.want)
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
		got, err := CleanRepository(repository)
		if err == nil || got != "" {
			t.Errorf("CleanRepository(%q) = %q, %v, want an error", repository, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error repeats the password: %v", err)
		}
	}
}
