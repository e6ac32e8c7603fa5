// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import "testing"

func TestRequireSecret_OffAllowsOnlyUnconfigured(t *testing.T) {
	web := &Target{Resource: "gatewaysyncs", Name: "web"}
	for _, tc := range []struct {
		name   string
		data   map[string]string
		source string
		target *Target
		open   bool
	}{
		{name: "nothing configured", source: "github", target: web, open: true},
		{name: "nothing configured, no source, no target", open: true},
		{name: "only unknown keys", data: map[string]string{"password": "x"}, open: true},
		{name: "namespace-wide", data: map[string]string{"hmac": "h"}, source: "github", target: web},
		{name: "namespace-wide, empty", data: map[string]string{"token": "\n"}, source: "github", target: web},
		{name: "the source's", data: map[string]string{"webhook.github-secret": "g"}, source: "github", target: web},
		{name: "the source's, empty", data: map[string]string{"webhook.github-secret": ""}, source: "github",
			target: web},
		{name: "another source's", data: map[string]string{"webhook.gitlab-secret": "g"}, source: "github", target: web,
			open: true},
		{name: "any source's, with an unknown sender", data: map[string]string{"webhook.gitlab-secret": "g"},
			target: web},
		{name: "a registry, with only the git key", data: map[string]string{"hmac": "h"}, source: "docker.io",
			target: web, open: true},
		{name: "the target's", data: map[string]string{"gatewaysyncs.web.hmac": "wh"}, source: "github", target: web},
		{name: "the target's, empty", data: map[string]string{"gatewaysyncs.web.hmac": ""}, source: "docker.io",
			target: web},
		{name: "another target's", data: map[string]string{"gatewaysyncs.api.hmac": "wh"}, source: "github",
			target: web, open: true},
		{name: "any target's, without a target", data: map[string]string{"gatewaysyncs.api.hmac": "wh"},
			source: "github"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			secrets := secretsWith(tc.data)
			a := Attempt{Namespace: namespace, Source: tc.source, Target: tc.target}

			wantMethod, wantReason := Method(""), ReasonNoCredential
			if tc.open {
				wantMethod, wantReason = MethodNone, ""
			}
			method, reason := verify(t, NewVerifier(Config{}, secrets), a)
			if method != wantMethod || reason != wantReason {
				t.Errorf("got method %q, reason %q; want %q, %q", method, reason, wantMethod, wantReason)
			}

			method, reason = verify(t, NewVerifier(Config{RequireSecret: true}, secrets), a)
			if method != "" || reason != ReasonNoCredential {
				t.Errorf("with RequireSecret got method %q, reason %q; want a rejection", method, reason)
			}
		})
	}
}

func TestRequireSecret_OffIgnoresProofIfUnconfigured(t *testing.T) {
	a := Attempt{Namespace: namespace, Header: header("X-Hub-Signature-256", "sha256="+sign("s3cret", ""))}
	if method, reason := verify(t, NewVerifier(Config{}, &Secrets{}), a); method != MethodNone {
		t.Errorf("got method %q, reason %q; want %q", method, reason, MethodNone)
	}
}

func TestRequireSecret_OffRejectsWrongProof(t *testing.T) {
	v := NewVerifier(Config{}, secretsWith(map[string]string{"token": "t0ken"}))
	a := Attempt{Namespace: namespace, Header: header("X-Gitlab-Token", "other")}
	if method, reason := verify(t, v, a); reason != ReasonTokenMismatch {
		t.Errorf("got method %q, reason %q; want %q", method, reason, ReasonTokenMismatch)
	}
	a.Header = header("X-Gitlab-Token", "t0ken")
	if method, reason := verify(t, v, a); method != MethodToken {
		t.Errorf("got method %q, reason %q; want %q", method, reason, MethodToken)
	}
}

// An empty secret must not match an empty token, nor a signature made with the empty key.
func TestRequireSecret_EmptySecretAcceptsNothing(t *testing.T) {
	for _, value := range []string{"", "\n", " \r\n\t"} {
		for _, config := range []Config{{}, {RequireSecret: true}} {
			v := NewVerifier(config, secretsWith(map[string]string{"hmac": value, "token": value,
				"webhook.quay-secret": value}))
			for _, tc := range []struct {
				name    string
				attempt Attempt
				reason  Reason
			}{
				{"empty token", Attempt{Header: header("X-Gitlab-Token", "")}, ReasonNoCredential},
				{"the value itself as token", Attempt{Header: header("X-Gitlab-Token", value+" ")},
					ReasonNoSecretConfigured},
				{"signature by the empty key", Attempt{Header: header("X-Gitea-Signature", sign("", ""))},
					ReasonNoSecretConfigured},
				{"empty signature", Attempt{Header: header("X-Gitea-Signature", "")}, ReasonMalformedSignature},
				{"empty query token", Attempt{Source: "quay.io", QuerySecret: ""}, ReasonNoCredential},
				{"blank query token", Attempt{Source: "quay.io", QuerySecret: " "}, ReasonNoSecretConfigured},
			} {
				tc.attempt.Namespace = namespace
				if method, reason := verify(t, v, tc.attempt); method != "" || reason != tc.reason {
					t.Errorf("value %q, %s: got method %q, reason %q; want %q", value, tc.name, method, reason,
						tc.reason)
				}
			}
		}
	}
}
