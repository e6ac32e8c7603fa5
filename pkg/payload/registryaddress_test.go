// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"strings"
	"testing"
)

// registryURLPayloads are golden payloads of the registries.
var registryURLPayloads = []string{
	"acr/push-full", "aliyun-acr/full", "cloudevents/ecr-full", "distribution/registry-url", "docker.io/full",
	"ecr/push-full", "gar/insert-full", "ghcr.io/package-full", "gitea-packages/created-full",
	"harbor/push-full", "jfrog/pushed-full",
	"nexus/created-full", "quay.io/own-installation", "zot/updated-full",
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

func TestRegistryURL_AllRegistries(t *testing.T) {
	tested := map[string]bool{}
	for _, payload := range registryURLPayloads {
		sender, _, _ := strings.Cut(payload, "/")
		tested[sender] = true
	}
	for _, s := range Senders() {
		if s.Requests == RequestsImages && !tested[s.Name] {
			t.Errorf("registryURLPayloads has no payload of %s", s.Name)
		}
	}
}
