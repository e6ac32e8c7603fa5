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
		"X-Hub-Signature-256", "secret", "X-Hub-Signature", "secret", "X-Gitea-Signature", "secret", "X-Forgejo-Signature", "secret",
		"X-Gitlab-Token", "secret", "X-Webhook-Secret", "secret", "X-Webhook-Token", "secret", "X-Webhook-Token", "secret",
		"Authorization", "secret", "Proxy-Authorization", "secret", "Cookie", "secret", "webhook-signature", "secret",
		"X-Gogs-Signature", "secret", "X-JFrog-Event-Auth", "secret", "X-Nexus-Webhook-Signature", "secret",
		"X-GitHub-Event", "push", "X-GitHub-Delivery", "1", "Content-Type", "application/json", "Webhook-Id", "2",
		"Webhook-Timestamp", "3",
	)
	h["x-gitlab-token"] = []string{"secret"} // as a map that was not made by net/http may have it
	StripSecrets(h)
	want := http.Header{
		"X-Github-Event": {"push"}, "X-Github-Delivery": {"1"}, "Content-Type": {"application/json"}, "Webhook-Id": {"2"},
		"Webhook-Timestamp": {"3"},
	}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	StripSecrets(nil)
}

// A name that is not canonical would never be found in an http.Header.
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
