// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"strings"
	"testing"

	"postern.dev/postern/pkg/payload"
)

func TestSimilarTo_Sources(t *testing.T) {
	for given, want := range map[string]string{
		"git-hub": "github", "GitHub": "github", "docker": "docker.io", "dockr.io": "docker.io", "ghcr": "ghcr.io",
		"bitbucketserver": "bitbucket-server", "azuredevops": "azure-devops", "x": "", "subversion": "",
		strings.Repeat("github", 100): "",
	} {
		if got := similarTo(given, payload.Sources()); got != want {
			t.Errorf("similarTo(%q) is %q, want %q", given, got, want)
		}
	}
}

func TestDistance_Edits(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "ab", 2}, {"plant", "plant", 0}, {"plnat", "plant", 2}, {"plan", "plant", 1},
		{"xlant", "plant", 1}} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("distance(%q, %q) is %d, want %d", test.a, test.b, got, test.want)
		}
		if got := distance(test.b, test.a); got != test.want {
			t.Errorf("distance(%q, %q) is %d, want %d", test.b, test.a, got, test.want)
		}
	}
}
