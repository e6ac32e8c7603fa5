// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
)

// warned reports whether an answer warns of the secret in its query.
func warned(a answer) bool {
	return strings.Contains(strings.Join(a.header.Values("Warning"), " "), "the secret in the query of this URL")
}

func TestQueryToken_OnlyWithoutAlternative(t *testing.T) {
	secret := newSecret()
	keys := map[string]string{"hmac": secret, "token": secret, "webhook.github-secret": secret,
		"gatewaysyncs.other.token": secret}
	w, anonymous := guarded(t, keys, byToken("X-Webhook-Token", secret))
	for _, header := range []map[string]string{nil, {"X-GitHub-Event": "push"}} {
		for _, name := range []string{"web", "other", "missing"} {
			got := anonymous.mustPost(t, gatewaySyncPath(name)+"?secret="+secret, anyBody, header,
				http.StatusUnauthorized)
			if !warned(got) {
				t.Errorf("%s: the answer has no warning: %v", name, got.header)
			}
		}
	}
	if got := w.annotations(gatewaySyncs, "web"); len(got) > 0 {
		t.Errorf("a rejected delivery was written: %v", got)
	}
	w.mustHaveRecords()
}

func TestQueryToken_WarnsIfUnnecessary(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	_, releaser := w.releaser("web")
	got := releaser.mustPost(t, gatewaySyncPath("web")+"?secret="+newSecret(), anyBody, nil, http.StatusAccepted)
	if !warned(got) || got.delivery(t).Status.Sender.Method != "ServiceAccount" {
		t.Errorf("got %s with headers %v, want a delivery with a warning", got.body, got.header)
	}
	if got := releaser.mustPost(t, gatewaySyncPath("web"), anyBody, nil, http.StatusAccepted); warned(got) {
		t.Error("there is a warning without a secret in the query")
	}
}

// findLeaks reports the secrets of this test if they are logged. The test checks that the requests were logged at all.
func TestQueryToken_IsNotLogged(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	subject, token := w.serviceAccount("releaser")
	w.allow(subject, "gatewaysyncs")
	w.allow(subject, "webhooksources")
	releaser := w.sender(token)
	for _, endpoint := range []string{gatewaySyncPath("web"), sourcePath("github")} {
		w.untilAccepted(releaser, endpoint, noProof)
	}
	for _, query := range []string{
		"secret=" + newSecret(),
		"a=" + w.Namespace + "&secret=" + newSecret() + "&b=c",
		"secret=" + newSecret() + "&secret=" + newSecret(),
		"%73ecret=" + newSecret(),
		"secret=" + url.QueryEscape(newSecret()+" &;\n%"),
		"secret=" + newSecret() + "%zz",
		"secret=" + newSecret() + ";x",
		"dryRun=All&secret=" + newSecret(),
	} {
		for _, endpoint := range []string{gatewaySyncPath("web"), sourcePath("docker.io"), sourcePath("github")} {
			if _, err := releaser.post(t.Context(), endpoint+"?"+query, []byte(useless), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	// The lists and the endpoint of objects have queries, too.
	for _, path := range []string{gatewaySyncPath("web"), sourcePath("docker.io"), "webhookdeliveries",
		"webhooksources"} {
		if _, err := releaser.send(t.Context(), http.MethodGet, path+"?secret="+newSecret(), http.NoBody,
			nil); err != nil {
			t.Fatal(err)
		}
	}
	log, err := os.ReadFile(w.postern.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(log), "a="+w.Namespace) {
		t.Error("Postern's log has no query: the test is not conclusive")
	}
	if err := (place{name: "Postern's log", content: log}).leak(); err != nil {
		t.Error(err)
	}
}
