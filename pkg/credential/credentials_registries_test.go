// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"strings"
	"testing"

	"postern.dev/postern/pkg/payload"
)

// signSHA1 returns the hexadecimal HMAC-SHA1 of body, independently of the code under test.
func signSHA1(secret, body string) string {
	h := hmac.New(sha1.New, []byte(secret))
	h.Write([]byte(body))
	return hex.EncodeToString(h.Sum(nil))
}

func TestVerifier_JFrogByTokenOrSignature(t *testing.T) {
	const body = `{"domain":"docker"}`
	hexToken := strings.Repeat("0badcafe", 8) // looks like a MAC
	v := NewVerifier(Config{RequireSecret: true},
		secretsWith(map[string]string{"webhook.jfrog-secret": "s3cret\n" + hexToken}))
	right := sign("s3cret", body)
	for _, tc := range []struct {
		name   string
		pairs  []string
		method Method
		reason Reason
	}{
		{name: "token", pairs: []string{"X-JFrog-Event-Auth", "s3cret"}, method: MethodToken},
		{name: "token that looks like a signature", pairs: []string{"X-JFrog-Event-Auth", hexToken},
			method: MethodToken},
		{name: "signature", pairs: []string{"X-JFrog-Event-Auth", right}, method: MethodHMAC},
		{name: "signature in upper case", pairs: []string{"X-JFrog-Event-Auth", strings.ToUpper(right)},
			method: MethodHMAC},
		{name: "signature by the second secret", pairs: []string{"X-JFrog-Event-Auth", sign(hexToken, body)},
			method: MethodHMAC},
		{name: "wrong token", pairs: []string{"X-JFrog-Event-Auth", "s3creT"}, reason: ReasonTokenMismatch},
		{name: "signature of another body", pairs: []string{"X-JFrog-Event-Auth", sign("s3cret", body+" ")},
			reason: ReasonSignatureMismatch},
		{name: "signature by another secret", pairs: []string{"X-JFrog-Event-Auth", sign("other", body)},
			reason: ReasonSignatureMismatch},
		{name: "signature with a prefix", pairs: []string{"X-JFrog-Event-Auth", "sha256=" + right},
			reason: ReasonTokenMismatch},
		{name: "SHA-1", pairs: []string{"X-JFrog-Event-Auth", signSHA1("s3cret", body)}, reason: ReasonTokenMismatch},
		{name: "twice", pairs: []string{"X-JFrog-Event-Auth", "s3cret", "X-JFrog-Event-Auth", "s3cret"},
			reason: ReasonRepeatedHeader},
		{name: "signature twice", pairs: []string{"X-JFrog-Event-Auth", right, "X-JFrog-Event-Auth", right},
			reason: ReasonRepeatedHeader},
		{name: "empty", pairs: []string{"X-JFrog-Event-Auth", ""}, reason: ReasonNoCredential},
	} {
		t.Run(tc.name, func(t *testing.T) {
			method, reason := verify(t, v, Attempt{Namespace: namespace, Source: "jfrog", Header: header(tc.pairs...),
				Body: []byte(body)})
			if method != tc.method || reason != tc.reason {
				t.Errorf("got method %q, reason %q; want %q, %q", method, reason, tc.method, tc.reason)
			}
		})
	}
}

func TestVerifier_SHA1OnlyFromNexus(t *testing.T) {
	const body = `{"action":"CREATED"}`
	right := signSHA1("s3cret", body)
	keys := map[string]string{"hmac": "s3cret", "token": "s3cret"}
	for _, source := range []string{"nexus", "jfrog", "harbor", "ghcr.io", "distribution"} {
		keys["webhook."+strings.TrimSuffix(source, ".io")+"-secret"] = "s3cret"
	}
	v := NewVerifier(Config{RequireSecret: true}, secretsWith(keys))
	for _, tc := range []struct {
		name, source string
		pairs        []string
		method       Method
		reason       Reason
	}{
		{name: "right", source: "nexus", pairs: []string{"X-Nexus-Webhook-Signature", right}, method: MethodHMAC},
		{name: "right in upper case", source: "nexus",
			pairs: []string{"X-Nexus-Webhook-Signature", strings.ToUpper(right)}, method: MethodHMAC},
		{name: "SHA-256 in another header", source: "nexus", pairs: []string{"X-Hub-Signature-256", "sha256=" +
			sign("s3cret", body)}, reason: ReasonSignatureNotCounted},
		{name: "another body", source: "nexus", pairs: []string{"X-Nexus-Webhook-Signature",
			signSHA1("s3cret", body+"\n")}, reason: ReasonSignatureMismatch},
		{name: "another secret", source: "nexus", pairs: []string{"X-Nexus-Webhook-Signature", signSHA1("other", body)},
			reason: ReasonSignatureMismatch},
		{name: "empty secret", source: "nexus", pairs: []string{"X-Nexus-Webhook-Signature", signSHA1("", body)},
			reason: ReasonSignatureMismatch},
		{name: "SHA-256 in Nexus' header", source: "nexus",
			pairs: []string{"X-Nexus-Webhook-Signature", sign("s3cret", body)}, reason: ReasonMalformedSignature},
		{name: "truncated", source: "nexus", pairs: []string{"X-Nexus-Webhook-Signature", right[:38]},
			reason: ReasonMalformedSignature},
		{name: "not digits", source: "nexus", pairs: []string{"X-Nexus-Webhook-Signature", strings.Repeat("z", 40)},
			reason: ReasonMalformedSignature},
		{name: "empty", source: "nexus", pairs: []string{"X-Nexus-Webhook-Signature", ""},
			reason: ReasonMalformedSignature},
		{name: "twice", source: "nexus", pairs: []string{"X-Nexus-Webhook-Signature", right,
			"X-Nexus-Webhook-Signature", right}, reason: ReasonRepeatedHeader},
		{name: "in GitHub's old header", source: "nexus", pairs: []string{"X-Hub-Signature", "sha1=" + right},
			reason: ReasonSHA1Signature},
		{name: "unknown sender", source: "", pairs: []string{"X-Nexus-Webhook-Signature", right},
			reason: ReasonSHA1Signature},
		{name: "github", source: "github", pairs: []string{"X-Nexus-Webhook-Signature", right},
			reason: ReasonSHA1Signature},
		{name: "generic", source: "generic", pairs: []string{"X-Nexus-Webhook-Signature", right},
			reason: ReasonSHA1Signature},
		{name: "jfrog", source: "jfrog", pairs: []string{"X-Nexus-Webhook-Signature", right},
			reason: ReasonSHA1Signature},
		{name: "harbor", source: "harbor", pairs: []string{"X-Nexus-Webhook-Signature", right},
			reason: ReasonSHA1Signature},
		{name: "with a right token", source: "github",
			pairs: []string{"X-Nexus-Webhook-Signature", right, "X-Webhook-Token", "s3cret"}, method: MethodToken},
	} {
		t.Run(tc.name, func(t *testing.T) {
			method, reason := verify(t, v, Attempt{Namespace: namespace, Source: tc.source, Header: header(tc.pairs...),
				Body: []byte(body)})
			if method != tc.method || reason != tc.reason {
				t.Errorf("got method %q, reason %q; want %q, %q", method, reason, tc.method, tc.reason)
			}
		})
	}
}

// The MAC was made with OpenSSL: printf '%s' BODY | openssl dgst -sha1 -hmac "It's a secret".
func TestVerifier_SHA1ReferenceSignature(t *testing.T) {
	v := NewVerifier(Config{RequireSecret: true},
		secretsWith(map[string]string{"webhook.nexus-secret": "It's a secret"}))
	method, reason := verify(t, v, Attempt{
		Namespace: namespace,
		Source:    "nexus",
		Header:    header("X-Nexus-Webhook-Signature", "6e33c28a05a06e521f18c0a540b79a882893985a"),
		Body:      []byte(`{"action":"CREATED"}`),
	})
	if method != MethodHMAC || reason != "" {
		t.Errorf("got method %q, reason %q; want %q", method, reason, MethodHMAC)
	}
}

func TestVerifier_RegistriesByOwnKeyOnly(t *testing.T) {
	for source, key := range map[string]string{
		"acr": "acr", "aliyun-acr": "aliyun-acr", "cloudevents": "cloudevents", "distribution": "distribution",
		"docker.io": "docker",
		"ecr":       "ecr", "gar": "gar", "ghcr.io": "ghcr", "gitea-packages": "gitea-packages", "harbor": "harbor",
		"jfrog": "jfrog", "nexus": "nexus",
		"quay.io": "quay", "zot": "zot",
	} {
		v := NewVerifier(Config{RequireSecret: true}, secretsWith(map[string]string{
			"hmac": "shared", "token": "shared", "webhook." + key + "-secret": "own", "webhook.github-secret": "github",
		}))
		for token, want := range map[string]Method{"own": MethodToken, "shared": "", "github": ""} {
			a := Attempt{Namespace: namespace, Source: source, Header: header("X-Webhook-Secret", token)}
			if method, reason := verify(t, v, a); method != want {
				t.Errorf("%s with the secret %s: got method %q, reason %q; want %q", source, token, method, reason,
					want)
			}
		}
	}
}

func TestVerifier_QueryTokenOfRegistries(t *testing.T) {
	for source, want := range map[string]Method{
		"docker.io": MethodQueryToken, "quay.io": MethodQueryToken, "aliyun-acr": MethodQueryToken,
		"cloudevents": MethodQueryToken, "gar": MethodQueryToken,
		"acr": "", "distribution": "", "ecr": "", "ghcr.io": "", "gitea-packages": "", "harbor": "", "jfrog": "",
		"nexus": "", "zot": "",
	} {
		keys := map[string]string{payload.SecretKey(source): "own"}
		v := NewVerifier(Config{RequireSecret: true}, secretsWith(keys))
		if method, reason := verify(t, v, Attempt{Namespace: namespace, Source: source,
			QuerySecret: "own"}); method != want {
			t.Errorf("%s: got method %q, reason %q; want %q", source, method, reason, want)
		}
	}
}
