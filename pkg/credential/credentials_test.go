// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"crypto/sha256"
	"hash"
	"strings"
	"testing"
)

func TestVerifier_HeaderToken(t *testing.T) {
	const body = `{"ref":"refs/tags/v2.0.0"}`
	right := sign("s3cret", body)
	sha1 := "sha1=" + strings.Repeat("ab", 20)
	v := NewVerifier(Config{RequireSecret: true}, secretsWith(map[string]string{"hmac": "s3cret", "token": "t0ken"}))
	for _, tc := range []struct {
		name   string
		pairs  []string
		method Method
		reason Reason
	}{
		{name: "GitHub", pairs: []string{"X-Hub-Signature-256", "sha256=" + right}, method: MethodHMAC},
		{name: "GitHub's two signatures", pairs: []string{"X-Hub-Signature", sha1, "X-Hub-Signature-256", "sha256=" +
			right}, method: MethodHMAC},
		{name: "Bitbucket", pairs: []string{"X-Hub-Signature", "sha256=" + right}, method: MethodHMAC},
		{name: "Gitea", pairs: []string{"X-Gitea-Signature", right}, method: MethodHMAC},
		{name: "Forgejo", pairs: []string{"X-Forgejo-Signature", right}, method: MethodHMAC},
		{name: "Gogs", pairs: []string{"X-Gogs-Signature", right}, method: MethodHMAC},
		{name: "all that Forgejo sends",
			pairs: []string{"X-Hub-Signature", sha1, "X-Hub-Signature-256", "sha256=" + right, "X-Gitea-Signature",
				right, "X-Gogs-Signature", right, "X-Forgejo-Signature", right}, method: MethodHMAC},
		{name: "upper-case digits", pairs: []string{"X-Hub-Signature-256", "sha256=" + strings.ToUpper(right)},
			method: MethodHMAC},
		{name: "a right and a wrong signature", pairs: []string{"X-Hub-Signature-256", "sha256=" + sign("other", body),
			"X-Gitea-Signature", right}, method: MethodHMAC},
		{name: "a right and a malformed signature",
			pairs: []string{"X-Hub-Signature-256", "s", "X-Gitea-Signature", right}, method: MethodHMAC},

		{name: "signature of another body", pairs: []string{"X-Hub-Signature-256", "sha256=" +
			sign("s3cret", body+"\n")}, reason: ReasonSignatureMismatch},
		{name: "signature by another secret", pairs: []string{"X-Hub-Signature-256", "sha256=" + sign("other", body)},
			reason: ReasonSignatureMismatch},
		{name: "signature by the empty secret", pairs: []string{"X-Hub-Signature-256", "sha256=" + sign("", body)},
			reason: ReasonSignatureMismatch},
		{name: "signature by the token", pairs: []string{"X-Hub-Signature-256", "sha256=" + sign("t0ken", body)},
			reason: ReasonSignatureMismatch},

		{name: "empty", pairs: []string{"X-Hub-Signature-256", ""}, reason: ReasonMalformedSignature},
		{name: "shorter than its prefix", pairs: []string{"X-Hub-Signature-256", "s"},
			reason: ReasonMalformedSignature},
		{name: "prefix alone", pairs: []string{"X-Hub-Signature-256", "sha256="}, reason: ReasonMalformedSignature},
		{name: "no digits", pairs: []string{"X-Hub-Signature-256", "sha256=zz"}, reason: ReasonMalformedSignature},
		{name: "64 characters that are not digits", pairs: []string{"X-Hub-Signature-256", "sha256=" +
			strings.Repeat("z", 64)}, reason: ReasonMalformedSignature},
		{name: "truncated by a byte", pairs: []string{"X-Hub-Signature-256", "sha256=" + right[:62]},
			reason: ReasonMalformedSignature},
		{name: "truncated by a digit", pairs: []string{"X-Hub-Signature-256", "sha256=" + right[:63]},
			reason: ReasonMalformedSignature},
		{name: "a byte too long", pairs: []string{"X-Hub-Signature-256", "sha256=" + right + "00"},
			reason: ReasonMalformedSignature},
		{name: "no prefix", pairs: []string{"X-Hub-Signature-256", right}, reason: ReasonMalformedSignature},
		{name: "prefix in upper case", pairs: []string{"X-Hub-Signature-256", "SHA256=" + right},
			reason: ReasonMalformedSignature},
		{name: "prefix in a header without one", pairs: []string{"X-Gitea-Signature", "sha256=" + right},
			reason: ReasonMalformedSignature},
		{name: "empty bare signature", pairs: []string{"X-Gitea-Signature", ""}, reason: ReasonMalformedSignature},
		{name: "two values for one name", pairs: []string{"X-Hub-Signature-256", "sha256=" + right,
			"X-Hub-Signature-256", "sha256=" + right}, reason: ReasonRepeatedHeader},
		{name: "SHA-1", pairs: []string{"X-Hub-Signature", sha1}, reason: ReasonSHA1Signature},
		{name: "SHA-256 that claims to be SHA-1", pairs: []string{"X-Hub-Signature", "sha1=" + right},
			reason: ReasonSHA1Signature},
		{name: "SHA-1 under the other name", pairs: []string{"X-Hub-Signature-256", sha1}, reason: ReasonSHA1Signature},
		{name: "Bitbucket by another secret", pairs: []string{"X-Hub-Signature", "sha256=" + sign("other", body)},
			reason: ReasonSignatureMismatch},
		{name: "all that Gitea sends without a secret", pairs: []string{"X-Gitea-Signature", "", "X-Gogs-Signature", "",
			"X-Hub-Signature", "sha1=", "X-Hub-Signature-256", "sha256="}, reason: ReasonMalformedSignature},
		{name: "header that is not read", pairs: []string{"X-Signature", right, "Authorization", "Bearer t0ken"},
			reason: ReasonNoCredential},

		{name: "GitLab", pairs: []string{"X-Gitlab-Token", "t0ken"}, method: MethodToken},
		{name: "X-Webhook-Secret", pairs: []string{"X-Webhook-Secret", "t0ken"}, method: MethodToken},
		{name: "X-Webhook-Token", pairs: []string{"X-Webhook-Token", "t0ken"}, method: MethodToken},
		{name: "a right and a wrong token", pairs: []string{"X-Gitlab-Token", "other", "X-Webhook-Token", "t0ken"},
			method: MethodToken},
		{name: "a right token and a wrong signature", pairs: []string{"X-Hub-Signature-256", "sha256=" +
			sign("other", body), "X-Webhook-Token", "t0ken"}, method: MethodToken},
		{name: "signature before token", pairs: []string{"X-Hub-Signature-256", "sha256=" + right, "X-Webhook-Token",
			"t0ken"}, method: MethodHMAC},
		{name: "wrong token", pairs: []string{"X-Gitlab-Token", "t0keN"}, reason: ReasonTokenMismatch},
		{name: "beginning of the token", pairs: []string{"X-Gitlab-Token", "t0ke"}, reason: ReasonTokenMismatch},
		{name: "longer than the token", pairs: []string{"X-Gitlab-Token", "t0ken0"}, reason: ReasonTokenMismatch},
		{name: "HMAC key as token", pairs: []string{"X-Gitlab-Token", "s3cret"}, reason: ReasonTokenMismatch},
		{name: "two tokens for one name", pairs: []string{"X-Gitlab-Token", "t0ken", "X-Gitlab-Token", "t0ken"},
			reason: ReasonRepeatedHeader},
		{name: "empty token", pairs: []string{"X-Gitlab-Token", ""}, reason: ReasonNoCredential},
		{name: "nothing", reason: ReasonNoCredential},
	} {
		t.Run(tc.name, func(t *testing.T) {
			method, reason := verify(t, v, Attempt{Namespace: namespace, Header: header(tc.pairs...),
				Body: []byte(body)})
			if method != tc.method || reason != tc.reason {
				t.Errorf("got method %q, reason %q; want %q, %q", method, reason, tc.method, tc.reason)
			}
		})
	}
}

// The MAC was made with OpenSSL: printf '%s' BODY | openssl dgst -sha256 -hmac "It's a secret".
func TestVerifier_ReferenceSignature(t *testing.T) {
	v := NewVerifier(Config{RequireSecret: true}, secretsWith(map[string]string{"hmac": "It's a secret"}))
	method, reason := verify(t, v, Attempt{
		Namespace: namespace,
		Header: header("X-Hub-Signature-256",
			"sha256=e8dc4cde121eb92f2ca40beaf25782e0e80ef1163926bf2ab9b005a0887d6fef"),
		Body: []byte(`{"ref":"refs/heads/main"}`),
	})
	if method != MethodHMAC || reason != "" {
		t.Errorf("got method %q, reason %q; want %q", method, reason, MethodHMAC)
	}
}

func TestVerifier_QueryTokenOnlyWithoutAlternative(t *testing.T) {
	keys := map[string]string{
		"hmac": "shared", "token": "shared",
		"webhook.docker-secret": "own", "webhook.quay-secret": "own", "webhook.aliyun-acr-secret": "own",
		"webhook.cloudevents-secret": "own",
		"webhook.ghcr-secret":        "own", "webhook.harbor-secret": "own", "webhook.acr-secret": "own",
		"webhook.github-secret": "own",
	}
	v := NewVerifier(Config{RequireSecret: true}, secretsWith(keys))
	for _, tc := range []struct {
		source, query string
		method        Method
		reason        Reason
	}{
		{source: "docker.io", query: "own", method: MethodQueryToken},
		{source: "quay.io", query: "own", method: MethodQueryToken},
		{source: "aliyun-acr", query: "own", method: MethodQueryToken},
		{source: "cloudevents", query: "own", method: MethodQueryToken},
		{source: "docker.io", query: "wrong", reason: ReasonTokenMismatch},
		{source: "docker.io", query: "shared", reason: ReasonTokenMismatch},
		{source: "docker.io", query: "", reason: ReasonNoCredential},
		{source: "ghcr.io", query: "own", reason: ReasonQueryTokenNotAllowed},
		{source: "harbor", query: "own", reason: ReasonQueryTokenNotAllowed},
		{source: "acr", query: "own", reason: ReasonQueryTokenNotAllowed},
		{source: "github", query: "own", reason: ReasonQueryTokenNotAllowed},
		{source: "docker", query: "own", reason: ReasonQueryTokenNotAllowed},
		{source: "", query: "shared", reason: ReasonQueryTokenNotAllowed},
	} {
		t.Run(tc.source+" "+tc.query, func(t *testing.T) {
			method, reason := verify(t, v, Attempt{Namespace: namespace, Source: tc.source, QuerySecret: tc.query})
			if method != tc.method || reason != tc.reason {
				t.Errorf("got method %q, reason %q; want %q, %q", method, reason, tc.method, tc.reason)
			}
		})
	}
}

func TestVerifier_HeaderBeforeQueryToken(t *testing.T) {
	v := NewVerifier(Config{RequireSecret: true}, secretsWith(map[string]string{"webhook.quay-secret": "own"}))
	a := Attempt{Namespace: namespace, Source: "quay.io", QuerySecret: "own", Header: header("X-Webhook-Token", "own")}
	if method, _ := verify(t, v, a); method != MethodToken {
		t.Errorf("got method %q, want %q", method, MethodToken)
	}
	a.Header = header("X-Webhook-Token", "wrong")
	if method, _ := verify(t, v, a); method != MethodQueryToken {
		t.Errorf("got method %q, want %q in spite of a wrong token", method, MethodQueryToken)
	}
}

// Otherwise the time for a large body would reveal to unauthenticated callers which kinds of secret there are.
func TestVerifier_HashesSignedBodyWithoutSecret(t *testing.T) {
	var hashed int
	counted := func() hash.Hash {
		hashed++
		return sha256.New()
	}
	presented := [][]byte{make([]byte, sha256.Size)}
	for name, check := range map[string]func([]secret) bool{
		"signature":     func(s []secret) bool { return matchesAnySignature(counted, s, []byte("{}"), presented) },
		"signing token": func(s []secret) bool { return matchesMessage(counted, s, []byte("{}"), &signedMessage{}) },
	} {
		work := map[string]int{}
		for kind, value := range map[string]string{"none": "", "one": "whsec_c2VjcmV0"} {
			hashed = 0
			if parsed, _ := parseSecrets([]byte(value)); check(parsed) {
				t.Errorf("%s, secrets: %s: a wrong MAC is accepted", name, kind)
			}
			work[kind] = hashed
		}
		if work["none"] == 0 || work["none"] != work["one"] {
			t.Errorf("%s: got %v hashes, want the same number, not 0", name, work)
		}
	}
}
