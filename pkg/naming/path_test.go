// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package naming

import "testing"

func TestIsCleanPath(t *testing.T) {
	for file, want := range map[string]bool{
		"README.md":            true,
		"apps/shop/values.yml": true,
		"apps/ünï çödé/a":      true,
		"a..b/...":             true,
		"":                     false,
		"/apps":                false,
		"apps/":                false,
		"apps//shop":           false,
		"./apps":               false,
		"apps/../shop":         false,
		"..":                   false,
		".":                    false,
		"a\nb":                 false,
		"a\x1b[31m":            false,
		"caf\xe9":              false,
		"caf\ufffd":            false,
	} {
		if got := IsCleanPath(file); got != want {
			t.Errorf("IsCleanPath(%q) = %t, want %t", file, got, want)
		}
	}
}
