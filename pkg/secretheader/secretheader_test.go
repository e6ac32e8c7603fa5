// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package secretheader

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStrip_KeepsOnlyStorableHeaders(t *testing.T) {
	h := http.Header{}
	for name, value := range map[string]string{
		"X-Hub-Signature-256":       "secret",
		"X-Hub-Signature":           "secret",
		"X-Gitea-Signature":         "secret",
		"X-Forgejo-Signature":       "secret",
		"X-Gitlab-Token":            "secret",
		"X-Webhook-Secret":          "secret",
		"X-Webhook-Token":           "secret",
		"Authorization":             "secret",
		"Proxy-Authorization":       "secret",
		"Cookie":                    "secret",
		"webhook-signature":         "secret",
		"X-Gogs-Signature":          "secret",
		"X-JFrog-Event-Auth":        "secret",
		"X-Nexus-Webhook-Signature": "secret",
		"X-GitHub-Event":            "push",
		"X-GitHub-Delivery":         "1",
		"Content-Type":              "application/json",
		"Webhook-Id":                "2",
		"Webhook-Timestamp":         "3",
	} {
		h.Add(name, value)
	}
	h["x-gitlab-token"] = []string{"secret"} // not canonical, as in a map not made by net/http
	Strip(h)
	want := http.Header{
		"X-Github-Event": {"push"}, "X-Github-Delivery": {"1"}, "Content-Type": {"application/json"},
		"Webhook-Id":        {"2"},
		"Webhook-Timestamp": {"3"},
	}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	Strip(nil)
}

// An http.Header never has a name that is not canonical.
func TestHeaderNames_AreCanonical(t *testing.T) {
	names := append([]string{}, Tokens...)
	names = append(names, unread...)
	names = append(names, MessageID, MessageTime, MessageSignature)
	for _, h := range Signatures {
		names = append(names, h.Name)
	}
	for _, name := range names {
		if canonical := http.CanonicalHeaderKey(name); name != canonical {
			t.Errorf("got %q, want %q", name, canonical)
		}
	}
}

// A MAC is useless with another body, so it may be in an object's headers. JFrog's header may have the secret itself.
func TestStripSecrets_HeadersOfRegistries(t *testing.T) {
	for name, isSignature := range map[string]bool{"x-nexus-webhook-signature": true, "x-jfrog-event-auth": false} {
		if !Is(name) || IsSignature(name) != isSignature {
			t.Errorf("%s: secret %t, signature %t; want true, %t", name, Is(name), IsSignature(name), isSignature)
		}
	}
}
