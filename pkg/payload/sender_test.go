// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/naming"
)

func TestSources_SortedAndUnique(t *testing.T) {
	if got := Sources(); !slices.IsSorted(got) || len(slices.Compact(got)) != len(senders) {
		t.Errorf("got %v, want each source once, sorted", Sources())
	}
}

func TestSourceFromHeader_AgreesWithDecode(t *testing.T) {
	tests := []struct {
		name   string
		header http.Header
		want   string
	}{
		{"nil", nil, ""},
		{"none", http.Header{"Content-Type": {"application/json"}, "User-Agent": {"GitHub-Hookshot/1"}}, ""},
		{"github", gitHubHeader("push"), "github"},
		{"github, unknown event", gitHubHeader("issues"), "github"},
		{"github, empty event", gitHubHeader(""), ""},
		{"only a delivery id", http.Header{"X-Github-Delivery": {"1"}}, ""},
		{"package", gitHubHeader("package"), "ghcr.io"},
		{"registry package", gitHubHeader("registry_package"), "ghcr.io"},
		{"nexus", http.Header{"X-Nexus-Webhook-Id": {"rm:repository:asset"}}, "nexus"},
		{"distribution",
			http.Header{"Content-Type": {"application/vnd.docker.distribution.events.v2+json; charset=utf-8"}},
			"distribution"},
		{"CloudEvent of zot", http.Header{"Ce-Type": {"zotregistry.image.updated"}}, "zot"},
		{"CloudEvent of Harbor", http.Header{"Ce-Type": {"harbor.artifact.pushed"}}, "harbor"},
		{"CloudEvent of anyone", http.Header{"Ce-Type": {"com.example.image.pushed"}}, "cloudevents"},
		{"CloudEvent in structured mode, whose type is in the body",
			http.Header{"Content-Type": {"application/cloudevents+json"}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := SourceFromHeader(tt.header); got != tt.want {
				t.Errorf("SourceFromHeader = %q, want %q", got, tt.want)
			}
			decoded, _ := Decode(Input{Header: tt.header, Body: []byte(`{"freight":{"commits":[{"tag":"v1"}]}}`)})
			want := tt.want
			if want == "" {
				want = "kargo"
			}
			if decoded.Source != want {
				t.Errorf("Decode returned the source %q, want %q", decoded.Source, want)
			}
		})
	}
}

// Requests must match the events of the golden payloads.
func TestRequests_AgreesWithGoldenCases(t *testing.T) {
	for _, c := range goldenCases(t) {
		decoded, err := Decode(c.in)
		if err != nil {
			continue
		}
		for _, e := range decoded.Events {
			isArtifact := e.Image != nil || strings.HasPrefix(e.Repository, naming.OCIScheme)
			if image := requestsOf(decoded.Source) == RequestsImages; image != isArtifact {
				t.Errorf("%s: Requests(%q) = %s, but the event is %+v",
					c.name, decoded.Source, requestsOf(decoded.Source), e)
			}
		}
	}
}

func TestDecode_MarksDefaultBranch(t *testing.T) {
	const push = `"after":"1111111111111111111111111111111111111111"`
	for name, test := range map[string]struct {
		event string // of GitHub
		body  string
		want  bool
	}{
		"GitHub": {"push", `{"ref":"refs/heads/main",` + push + `,"repository":{"default_branch":"main"}}`,
			true},
		"another branch": {"push", `{"ref":"refs/heads/dev",` + push + `,"repository":{"default_branch":"main"}}`,
			false},
		"a tag of that name": {"push", `{"ref":"refs/tags/main",` + push + `,"repository":{"default_branch":"main"}}`,
			false},
		"no default branch": {"push", `{"ref":"refs/heads/main",` + push + `}`, false},
		"not a string": {"push", `{"ref":"refs/heads/main",` + push +
			`,"repository":{"default_branch":["main"]}}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			decoded, err := Decode(Input{Header: http.Header{"X-Github-Event": {test.event}}, Body: []byte(test.body)})
			if err != nil {
				t.Fatal(err)
			}
			if len(decoded.Events) != 1 || decoded.Events[0].DefaultBranch != test.want {
				t.Errorf("got %+v, want one event with DefaultBranch = %t", decoded.Events, test.want)
			}
		})
	}
}

// The bodies of some senders are templates, which may pass on a field of any git host.
func TestDecode_MarksDefaultBranchOfTemplates(t *testing.T) {
	for _, source := range []string{"generic", "argocd"} {
		body := `{"ref":"refs/heads/main","project":{"default_branch":"main"}}`
		if source == "argocd" {
			body = `{"app":{"metadata":{"annotations":{"git.ref":"refs/heads/main"}}},` +
				`"project":{"default_branch":"main"}}`
		}
		decoded, err := Decode(Input{Source: source, Body: []byte(body)})
		if err != nil {
			t.Fatal(err)
		}
		if len(decoded.Events) != 1 || !decoded.Events[0].DefaultBranch {
			t.Errorf("%s: got %+v, want one event of the default branch", source, decoded.Events)
		}
	}
}

func TestRequestImage_WithoutPayload(t *testing.T) {
	got, err := RequestImage("nginx", "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	want := Decoded{Source: "generic", Events: []postern.DeliveryEvent{{
		Source: "generic", Event: "request", Ref: "1.2.3", RefType: postern.RefTypeImage,
		Image: &postern.ImageReference{Host: "docker.io", Repository: "library/nginx", Tag: "1.2.3"},
	}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
	for name, request := range map[string]struct{ image, tag string }{
		"no name":                    {"", "1"},
		"no tag":                     {"nginx", ""},
		"a tag already":              {"nginx:1", "1"},
		"a port for a tag":           {"localhost", "5000/shop"},
		"a port and a path":          {"localhost", "5000/shop:1"},
		"a digest":                   {"nginx", "1@sha256:" + strings.Repeat("a", 64)},
		"a name in upper case":       {"quay.io/Acme", "1"},
		"a tag that could be a flag": {"nginx", "-rf"},
	} {
		var refused *Error
		if got, err := RequestImage(request.image, request.tag); !errors.As(err, &refused) ||
			refused.Reason != ErrorInvalidImage {
			t.Errorf("%s: got %+v and %v, want %s", name, got, err, ErrorInvalidImage)
		}
	}
}

func TestLooksLikeSource(t *testing.T) {
	for _, source := range append(Sources(), "nobody", "gcr.io", strings.Repeat("x", 20)) {
		if !LooksLikeSource(source) {
			t.Errorf("LooksLikeSource(%q) = false", source)
		}
	}
	for _, text := range []string{
		"", "Harbor", "docker.io?secret=x", "docker.io&secret=x", "docker.io;x", "docker.io x", "docker.io/x", "a%26b",
		"a_b", "a\x00", "é",
		strings.Repeat("x", 21),
	} {
		if LooksLikeSource(text) {
			t.Errorf("LooksLikeSource(%q) = true", text)
		}
	}
}
