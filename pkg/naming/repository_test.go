// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package naming

import (
	"strings"
	"testing"
)

func TestNormalizeRepository_OneSpelling(t *testing.T) {
	for want, spellings := range map[string][]string{
		"github.com/example/shop": {
			"https://github.com/example/shop",
			"https://github.com/example/shop.git",
			"https://github.com/example/shop/",
			"https://github.com/example/shop.git/",
			"https://github.com:443/example/shop.git",
			"http://github.com:80/example/shop",
			"HTTPS://GitHub.COM/example/shop",
			"https://user:p@ss:word@github.com/example/shop.git",
			"ssh://git@github.com/example/shop.git",
			"ssh://git@github.com:22/example/shop.git",
			"ssh://git@github.com:example/shop.git",
			"git://github.com:9418/example/shop.git",
			"git@github.com:example/shop.git",
			"git@github.com:/example/shop",
			"github.com:example/shop",
			"github.com/example/shop",
			"  https://github.com/example/shop\n",
			"https://github.com/Example/Shop",
			"git@GitHub.com:Example/Shop.GIT",
			"ssh://git@github.com:2222/example/shop.git",
			"git+ssh://git@github.com:2222/example/shop.git",
			"ssh://git@ssh.github.com:443/example/shop.git",
			"git@altssh.github.com:example/shop.git",
		},
		"oci://ghcr.io/acme/charts/shop": {"oci://ghcr.io/acme/charts/shop", "OCI://GHCR.io/acme/charts/shop/",
			"oci://user:password@ghcr.io/acme/charts/shop", " oci://ghcr.io/acme/charts/shop "},
		"oci://localhost:5000/shop":   {"oci://localhost:5000/shop"},
		"oci://docker.io/acme/charts": {"oci://registry-1.docker.io/acme/charts", "oci://docker.io/acme/charts"},
		"git.example.com/hw/lighthouse": {
			"https://git.example.com/scm/hw/lighthouse.git", "https://git.example.com/scm/HW/lighthouse.git",
			"ssh://git@git.example.com:7999/hw/lighthouse.git",
		},
		"git.example.com/~ann/lighthouse": {"https://git.example.com/scm/~ann/lighthouse.git",
			"ssh://git@git.example.com:7999/~ann/lighthouse.git"},
		"git.example.com/scm/a/b/c": {"https://git.example.com/scm/a/b/c"},
		"git.example.com/scm/a":     {"https://git.example.com/scm/a"},
		"dev.azure.com/acme/old%20harbour/_git/shop": {
			"https://dev.azure.com/acme/Old%20Harbour/_git/shop",
			"https://acme@dev.azure.com/acme/Old%20Harbour/_git/shop",
			"git@ssh.dev.azure.com:v3/acme/Old%20Harbour/shop",
			"ssh://git@ssh.dev.azure.com/v3/acme/Old%20Harbour/shop",
			"ssh://git@ssh.dev.azure.com:22/v3/acme/Old%20Harbour/shop",
			"https://acme.visualstudio.com/Old%20Harbour/_git/shop",
			"https://acme.visualstudio.com/DefaultCollection/Old%20Harbour/_git/shop",
			"https://acme.visualstudio.com/Old%20Harbour/DefaultCollection/_git/shop",
			"acme@vs-ssh.visualstudio.com:v3/acme/Old%20Harbour/shop",
		},
		"dev.azure.com/acme/shop/_git/shop": {
			"https://dev.azure.com/acme/_git/shop", "https://acme.visualstudio.com/_git/shop",
			"https://acme.visualstudio.com/DefaultCollection/_git/shop", "git@ssh.dev.azure.com:v3/acme/shop/shop",
		},
		"dev.azure.com/acme/shop/_git/defaultcollection": {
			"https://acme.visualstudio.com/DefaultCollection/shop/_git/DefaultCollection"},
		"acme.visualstudio.com/shop":   {"https://acme.visualstudio.com/shop"},
		"dev.azure.com:8443/acme/_git": {"https://dev.azure.com:8443/acme/_git"},
		"ssh.internal/a/b":             {"git@ssh.internal:a/b"},
		"git.example.com:8443/a/b":     {"https://git.example.com:8443/a/b.git", "git.example.com:8443/a/b"},
		"git.example.com/a/b": {"ssh://git@git.example.com:443/a/b.git",
			"ssh://git@git.example.com:2222/a/b"},
		"git.example.com:9000/a/b": {"http://git.example.com:9000/a/b", "git://git.example.com:9000/a/b"},
		"gitlab.com/1234/b":        {"git@gitlab.com:1234/b.git"},
		"git.example.com/~ann/b":   {"ssh://git.example.com/~ann/b", "ann@git.example.com:~ann/b"},
		"[2001:db8::1]/a/b": {"https://[2001:DB8::1]/a/b", "ssh://git@[2001:db8::1]:22/a/b",
			"git@[2001:db8::1]:a/b"},
		"[2001:db8::1]:8443/a/b":            {"https://[2001:db8::1]:8443/a/b"},
		"dev.azure.com/o/my%20project/_git": {"https://o@dev.azure.com/o/my%20project/_git"},
		"/srv/git/shop":                     {"/srv/git/shop.git", "file:///srv/git/shop"},
		"github.com":                        {"https://github.com/", "github.com"},
		"":                                  {"", " ", "/", "https://", "https:///.git/", "@", ":"},
	} {
		for _, spelling := range spellings {
			if got := NormalizeRepository(spelling); got != want {
				t.Errorf("NormalizeRepository(%q) = %q, want %q", spelling, got, want)
			}
		}
	}
}

func TestSameRepository_Distinguishes(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"git@github.com:example/shop.git", "https://github.com/example/shop", true},
		{"https://github.com/example/shop", "https://github.com/example/shop2", false},
		{"https://github.com/example/shop", "https://gitlab.com/example/shop", false},
		{"https://github.com/example/shop", "https://github.com:8443/example/shop", false},
		{"https://github.com/example/shop", "https://github.com/example/Shop", true},
		{"https://git.example.com:8443/example/shop", "https://git.example.com/example/shop", false},
		{"git@ssh.dev.azure.com:v3/acme/harbour/shop", "https://dev.azure.com/acme/town/_git/shop", false},
		{"git@ssh.dev.azure.com:v3/acme/harbour/shop", "https://elsewhere.visualstudio.com/harbour/_git/shop", false},
		{"https://github.com/example/shop", "https://github.com.evil.test/example/shop", false},
		{"https://github.com/example/shop", "https://github.com@evil.test/example/shop", false},
		{"oci://git.example.com/acme/shop", "https://git.example.com/acme/shop", false},
		{"oci://ghcr.io/acme/shop", "oci://ghcr.io/acme/shop2", false},
		{"", "", false},
	} {
		if got := SameRepository(test.a, test.b); got != test.want {
			t.Errorf("SameRepository(%q, %q) = %v, want %v", test.a, test.b, got, test.want)
		}
	}
}

func FuzzNormalizeRepository(f *testing.F) {
	for _, seed := range []string{
		"https://user:p@ss@github.com:443/example/shop.git/", "git@github.com:example/shop.git",
		"ssh://git@[::1]:2222/a//b", "[::1", "a@b@c:d", "host:/x", "x.git.git", "https://https://x", "://", "İ:1/é",
		"git@ssh.dev.azure.com:v3/o/p/r", "https://o.visualstudio.com/_git/r", "https://ssh.altssh.a.b/scm/a/b",
		"Ⱥ.a/K/scm",
		"https://dev.azure.com/v3/ o/p/r", "https://dev.azure.com/v3/ /p/r", "https://a.b/scm/ a/b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, repository string) {
		once := NormalizeRepository(repository)
		if twice := NormalizeRepository(once); twice != once {
			t.Errorf("%q became %q, and that became %q", repository, once, twice)
		}
	})
}

func TestCleanRepository_DropsCredentialsOnly(t *testing.T) {
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

func TestCleanRepository_ErrorDoesNotQuote(t *testing.T) {
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
