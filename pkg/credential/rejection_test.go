// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"strings"
	"testing"

	"postern.dev/postern/pkg/payload"
)

// message returns the error message of a rejected attempt.
func message(t *testing.T, v *Verifier, a Attempt) string {
	t.Helper()
	_, err := v.Verify(t.Context(), a)
	if err == nil {
		t.Fatal("got no error")
	}
	return err.Error()
}

func TestRejection_HidesConfiguration(t *testing.T) {
	config := Config{RequireSecret: true}
	var verifiers []*Verifier
	for _, data := range []map[string]string{
		nil,
		{"hmac": "h", "token": "t"},
		{"hmac": "", "token": ""},
		{"gatewaysyncs.web.hmac": "wh"},
		{"webhook.github-secret": "g"},
	} {
		verifiers = append(verifiers, NewVerifier(config, secretsWith(data)))
	}
	for name, presented := range map[string]Attempt{
		"nothing":             {},
		"wrong signature":     {Header: header("X-Hub-Signature-256", "sha256="+sign("other", ""))},
		"malformed signature": {Header: header("X-Hub-Signature-256", "sha256=zz")},
		"wrong token":         {Header: header("X-Gitlab-Token", "other")},
		"old message": {Header: header("Webhook-Id", "1", "Webhook-Timestamp", "1", "Webhook-Signature",
			"v1,"+signMessage("key", "1", "1", ""))},
	} {
		t.Run(name, func(t *testing.T) {
			seen := map[string]bool{}
			for _, v := range verifiers {
				for _, target := range []*Target{nil, {"gatewaysyncs", "web"},
					{"applications", "missing"}} {
					for _, source := range []string{"", "github", "harbor"} {
						a := presented
						a.Namespace, a.Source, a.Target = namespace, source, target
						seen[message(t, v, a)] = true
					}
				}
			}
			if len(seen) != 1 {
				t.Errorf("got %d messages, want the same for all: %v", len(seen), seen)
			}
		})
	}
}

func TestRejection_SaysWhatToDo(t *testing.T) {
	var signing []string
	for _, s := range payload.Senders() {
		if len(s.Signatures) > 0 {
			signing = append(signing, s.Name)
		}
	}
	remedy := "sign the exact body with HMAC-SHA256 in X-Hub-Signature-256: sha256=HEX, X-Hub-Signature: " +
		"sha256=HEX, X-Gitea-Signature: HEX, X-Forgejo-Signature: HEX, X-Gogs-Signature: HEX, or with a signing " +
		"token, within 5 minutes, in Webhook-Signature: v1,BASE64, or send an OIDC token in " +
		"X-Webhook-Oidc-Token, or send the secret in X-Gitlab-Token, " +
		"X-Webhook-Secret, X-Webhook-Token, X-Jfrog-Event-Auth, each given once; signatures count only from senders " +
		"that sign (" + strings.Join(signing, ", ") + "), SHA-1 only from nexus, " +
		"and ?secret= only from senders that support nothing else"
	const identity = "; or authenticate to the Kubernetes API, for example with a ServiceAccount token"
	token := header("X-Gitlab-Token", "other")
	// What another sender should do instead is nothing to a job that has a token.
	trusted := header("X-Webhook-OIDC-Token", idToken("one", ""))
	for _, tc := range []struct {
		name    string
		config  Config
		attempt Attempt
		want    string
	}{
		{"no credential", Config{RequireSecret: true}, Attempt{}, "no credential was shown: " + remedy},
		{"not accepted", Config{RequireSecret: true}, Attempt{Header: token},
			"the credential shown was not accepted: " + remedy},
		{"an unreadable OIDC token", Config{RequireSecret: true}, Attempt{Header: header("X-Webhook-OIDC-Token", "x")},
			"the OIDC token shown is not a JWT in compact form with iss and exp: send the ID token itself, " +
				"without Bearer"},
		{"an OIDC token that is not trusted", Config{RequireSecret: true}, Attempt{Header: trusted},
			"the OIDC token shown is valid only if postern-webhook-secrets in the namespace trusts its issuer, " +
				"under the key oidc, and its audience and claims are as required there"},
		{"identity suffices", Config{RequireSecret: true, IdentityIsCredential: true}, Attempt{},
			"no credential was shown: " + remedy + identity},
		{"Authorization is a token", Config{RequireSecret: true, IdentityIsCredential: true},
			Attempt{AuthorizationIsToken: true},
			"no credential was shown: " + strings.NewReplacer(
				"X-Webhook-Oidc-Token,", "X-Webhook-Oidc-Token or Authorization: Bearer,",
				"X-Jfrog-Event-Auth,", "X-Jfrog-Event-Auth, or Authorization,").Replace(remedy)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := message(t, NewVerifier(tc.config, &Secrets{}), tc.attempt); got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

func TestRejection_ContainsNoSecret(t *testing.T) {
	v := NewVerifier(Config{RequireSecret: true},
		secretsWith(map[string]string{"hmac": "c0nfigured", "token": "c0nfigured"}))
	proof, err := v.Verify(t.Context(), Attempt{
		Namespace: namespace,
		Header: header("X-Gitlab-Token", "sh0wn", "X-Hub-Signature-256", "sha256=sh0wn", "X-Gitea-Signature", "sh0wn",
			"Webhook-Id", "sh0wn", "Webhook-Timestamp", "sh0wn", "Webhook-Signature", "v1,sh0wn"),
		QuerySecret: "sh0wn",
		Body:        []byte("sh0wn"),
	})
	if err == nil {
		t.Fatalf("accepted by %q", proof.Method)
	}
	for _, secret := range []string{"c0nfigured", "sh0wn"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%q is in the message: %s", secret, err)
		}
	}
}
