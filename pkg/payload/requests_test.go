// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is said of a sender must be what its payloads ask for.
func TestRequestsSaysWhatTheGoldenPayloadsAskFor(t *testing.T) {
	for _, c := range goldenCases(t) {
		decoded, err := Decode(c.in)
		if err != nil {
			continue
		}
		for _, e := range decoded.Events {
			if image := Requests(decoded.Source) == RequestsImages; image != (e.Image != nil) {
				t.Errorf("%s: %s is said to request %s, and asks for %+v", c.name, decoded.Source, Requests(decoded.Source), e)
			}
		}
	}
}

func TestTheDefaultBranchIsMarkedWhereThePayloadTells(t *testing.T) {
	const push = `"after":"1111111111111111111111111111111111111111"`
	for name, test := range map[string]struct {
		event string // of GitHub
		body  string
		want  bool
	}{
		"GitHub":                {"push", `{"ref":"refs/heads/main",` + push + `,"repository":{"default_branch":"main"}}`, true},
		"another branch":        {"push", `{"ref":"refs/heads/dev",` + push + `,"repository":{"default_branch":"main"}}`, false},
		"a tag of that name":    {"push", `{"ref":"refs/tags/main",` + push + `,"repository":{"default_branch":"main"}}`, false},
		"nothing told":          {"push", `{"ref":"refs/heads/main",` + push + `}`, false},
		"told as something odd": {"push", `{"ref":"refs/heads/main",` + push + `,"repository":{"default_branch":["main"]}}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			decoded, err := Decode(Input{Header: http.Header{"X-Github-Event": {test.event}}, Body: []byte(test.body)})
			if err != nil {
				t.Fatal(err)
			}
			if len(decoded.Events) != 1 || decoded.Events[0].DefaultBranch != test.want {
				t.Errorf("got %+v, want one event, of the default branch: %t", decoded.Events, test.want)
			}
		})
	}
}

func TestAnImageMayBeRequestedWithoutAPayload(t *testing.T) {
	got, err := RequestImage("nginx", "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	want := Decoded{Source: "generic", Events: []Event{{
		Source: "generic", Type: "request", Ref: "1.2.3", RefType: RefTypeImage,
		Image: &Image{Host: "docker.io", Repository: "library/nginx", Tag: "1.2.3"},
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
		if got, err := RequestImage(request.image, request.tag); !errors.As(err, &refused) || refused.Reason != ErrorInvalidImage {
			t.Errorf("%s: got %+v and %v, want that the image is not valid", name, got, err)
		}
	}
}
