// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"strings"
	"testing"
)

// registryURLPayloads are golden payloads of the senders that use registry_url.
var registryURLPayloads = []string{
	"aliyun-acr/full", "distribution/registry-url", "jfrog/pushed-full", "nexus/created-full", "zot/updated-full",
}

// A secret after another "?" becomes part of registry_url.
func TestRegistryURL_InvalidIsNotQuoted(t *testing.T) {
	for name, registryURL := range map[string]string{
		"a query":                     "registry.example.com?secret=hunter2",
		"a query after a path":        "registry.example.com/team?secret=hunter2",
		"a query after a slash":       "https://registry.example.com/?secret=hunter2",
		"an encoded query":            "registry.example.com%3Fsecret=hunter2",
		"another parameter":           "registry.example.com&secret=hunter2",
		"another, after a path":       "registry.example.com/team&secret=hunter2",
		"a fragment":                  "registry.example.com#hunter2",
		"a user and password":         "https://robot:hunter2@registry.example.com",
		"a semicolon":                 "registry.example.com;secret=hunter2",
		"a name without a dot":        "hunter2",
		"a path alone":                "/hunter2",
		"a path in upper case":        "registry.example.com/Hunter2",
		"a tag":                       "registry.example.com/hunter2:1",
		"a port that is not a number": "registry.example.com:hunter2",
		"a control character":         "registry.example.com\nhunter2",
		"a space":                     "registry.example.com hunter2",
		"a second scheme":             "https://https://hunter2",
	} {
		for _, payload := range registryURLPayloads {
			in := goldenInput(t, payload)
			in.RegistryURL = registryURL
			_, err := Decode(in)
			if reason := errorReason(t, err); reason != ErrorInvalidImage ||
				!strings.HasPrefix(err.Error(), "registry_url in the URL is not valid: ") {
				t.Errorf("%s, %s: refused for %q: %v", name, payload, reason, err)
			} else if strings.Contains(strings.ToLower(err.Error()), "hunter2") {
				t.Errorf("%s, %s: the error repeats registry_url: %v", name, payload, err)
			}
		}
	}
}

func TestRegistryURL_SchemePortAndPath(t *testing.T) {
	for registryURL, want := range map[string]string{
		"registry.example.com":             "registry.example.com/",
		"Registry.Example.com":             "registry.example.com/",
		"https://registry.example.com/":    "registry.example.com/",
		"http://registry.example.com:5000": "registry.example.com:5000/",
		"localhost/a/b_c/":                 "localhost/a/b_c/",
		"[2001:db8::1]:5000":               "[2001:db8::1]:5000/",
	} {
		for _, payload := range registryURLPayloads {
			in := goldenInput(t, payload)
			in.RegistryURL = registryURL
			got, err := Decode(in)
			if err != nil || len(got.Events) != 1 || !strings.HasPrefix(got.Events[0].Image.String(), want) {
				t.Errorf("%s, %s: got %+v and %v, want an image at %s", registryURL, payload, got.Events, err, want)
			}
		}
	}
}

func TestRegistryURL_IgnoredForOtherSenders(t *testing.T) {
	in := goldenInput(t, "docker.io/full")
	in.RegistryURL = "registry.example.com?secret=hunter2"
	got, err := Decode(in)
	if err != nil || len(got.Events) != 1 || got.Events[0].Image.String() != "docker.io/example/shop:1.4.0" {
		t.Errorf("got %+v and %v", got.Events, err)
	}
}
