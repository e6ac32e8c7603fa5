// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"testing"
)

func TestNormalizeName_OneSpelling(t *testing.T) {
	for name, want := range map[string]string{
		"nginx":                          "docker.io/library/nginx",
		"library/nginx":                  "docker.io/library/nginx",
		"docker.io/nginx":                "docker.io/library/nginx",
		"index.docker.io/library/nginx":  "docker.io/library/nginx",
		"acme/shop":                      "docker.io/acme/shop",
		"GHCR.io/acme/shop":              "ghcr.io/acme/shop",
		"localhost/shop":                 "localhost/shop",
		"localhost:5000/shop":            "localhost:5000/shop",
		"quay.io/library/nginx":          "quay.io/library/nginx",
		"registry.acme.io:443/a/b/c/d-e": "registry.acme.io/a/b/c/d-e",
		"nginx:1":                        "",
		"nginx@sha256:0":                 "",
		"acme/Shop":                      "",
		"":                               "",
	} {
		got, err := NormalizeName(name)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("NormalizeName(%q) = %q, %v, want %q", name, got, err, want)
		}
	}
}
