// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStripSecretsLeavesOnlyHeadersThatMayBeStored(t *testing.T) {
	h := header(
		"X-Hub-Signature-256", "secret", "X-Hub-Signature", "secret", "X-Gitea-Signature", "secret",
		"X-Forgejo-Signature", "secret",
		"X-Gitlab-Token", "secret", "X-Webhook-Secret", "secret", "X-Webhook-Token", "secret", "X-Webhook-Token",
		"secret",
		"Authorization", "secret", "Proxy-Authorization", "secret", "Cookie", "secret", "webhook-signature", "secret",
		"X-Gogs-Signature", "secret", "X-JFrog-Event-Auth", "secret", "X-Nexus-Webhook-Signature", "secret",
		"X-GitHub-Event", "push", "X-GitHub-Delivery", "1", "Content-Type", "application/json", "Webhook-Id", "2",
		"Webhook-Timestamp", "3",
	)
	h["x-gitlab-token"] = []string{"secret"} // not canonical, as in a map not made by net/http
	StripSecrets(h)
	want := http.Header{
		"X-Github-Event": {"push"}, "X-Github-Delivery": {"1"}, "Content-Type": {"application/json"},
		"Webhook-Id":        {"2"},
		"Webhook-Timestamp": {"3"},
	}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	StripSecrets(nil)
}

// An http.Header never has a name that is not canonical.
func TestHeaderNamesAreCanonical(t *testing.T) {
	names := append([]string{}, tokenHeaders...)
	names = append(names, unreadSecretHeaders...)
	names = append(names, messageIDHeader, messageTimeHeader, messageSignatureHeader)
	for _, h := range signatureHeaders {
		names = append(names, h.name)
	}
	for _, name := range names {
		if canonical := http.CanonicalHeaderKey(name); name != canonical {
			t.Errorf("got %q, want %q", name, canonical)
		}
	}
}
