// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/pkg/secretheader"
)

func TestHeaders_KeptAreCanonicalAndNotSecret(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range keptHeaders {
		if canonical := http.CanonicalHeaderKey(name); name != canonical {
			t.Errorf("%q is not canonical, want %q", name, canonical)
		}
		if secretheader.Is(name) {
			t.Errorf("%s holds a secret", name)
		}
		if seen[name] {
			t.Errorf("%s is listed twice", name)
		}
		seen[name] = true
	}
}

func TestHeaders_DropsUnknownAndInvalid(t *testing.T) {
	h := http.Header{}
	for name, value := range map[string]string{
		"X-Gitlab-Event": "Push Hook", "webhook-id": "8e5f", "X-Event-Key": "repo:push", "X-Gitea-Event": "",
		"X-Request-Id": strings.Repeat("a", maxKeptHeaderBytes+1), "X-Gitea-Delivery": "\xff",
		"X-Gitlab-Token": "secret", "webhook-signature": "v1,secret", "X-Hook-UUID": "secret",
		"Authorization": "secret", "X-Other": "1",
	} {
		h.Set(name, value)
	}
	want := map[string]string{"X-Gitlab-Event": "Push Hook", "Webhook-Id": "8e5f", "X-Event-Key": "repo:push"}
	if diff := cmp.Diff(want, headersToKeep(h)); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
}

func TestHeaders_KeepsOnlyDeliveryHeaders(t *testing.T) {
	long := strings.Repeat("a", maxKeptHeaderBytes)
	for name, test := range map[string]struct {
		in   http.Header
		want map[string]string
	}{
		"none": {nil, nil},
		"these": {
			http.Header{
				"Content-Type": {"application/json"}, "User-Agent": {"GitHub-Hookshot/1"}, "X-Github-Delivery": {"1"},
				"X-Github-Event": {"push"},
			},
			map[string]string{
				"Content-Type": "application/json", "User-Agent": "GitHub-Hookshot/1", "X-Github-Delivery": "1",
				"X-Github-Event": "push",
			},
		},
		"no other": {
			http.Header{
				"Authorization": {"s3cret"}, "Cookie": {"s3cret"}, "X-Hub-Signature-256": {"s3cret"},
				"X-Gitlab-Token": {"s3cret"}, "X-Other": {"a"},
			},
			nil,
		},
		"none too long": {
			http.Header{"User-Agent": {long + "a"}, "Content-Type": {long}}, map[string]string{"Content-Type": long},
		},
		"none but in UTF-8":            {http.Header{"User-Agent": {"\xff"}}, nil},
		"none with control characters": {http.Header{"User-Agent": {"a\u009b31m"}, "X-Github-Event": {"a\tb"}}, nil},
		"none empty":                   {http.Header{"User-Agent": {""}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, headersToKeep(test.in)); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
		})
	}
}
