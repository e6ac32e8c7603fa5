// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/pkg/payload"
)

func TestMethodsFor(t *testing.T) {
	for name, tc := range map[string]struct {
		data   map[string]string
		source string
		want   SupportedMethods
	}{
		"git host, no secret": {nil, "github",
			SupportedMethods{Methods: []string{"HMAC"}, Keys: []string{"webhook.github-secret", "hmac"}}},
		"git host, the shared secret": {map[string]string{"hmac": "h"}, "github",
			SupportedMethods{Methods: []string{"HMAC"}, Keys: []string{"webhook.github-secret", "hmac"},
				HasSecret: true}},
		"git host that can only sign, a token": {map[string]string{"token": "t"}, "github",
			SupportedMethods{Methods: []string{"HMAC"}, Keys: []string{"webhook.github-secret", "hmac"}}},
		"git host that can't sign, an HMAC key": {map[string]string{"hmac": "h"}, "azure-devops",
			SupportedMethods{Methods: []string{"ServiceAccount", "Token"},
				Keys: []string{"webhook.azure-devops-secret", "token"}}},
		"git host, its own secret": {map[string]string{"webhook.gitlab-secret": "g"}, "gitlab",
			SupportedMethods{Methods: []string{"ServiceAccount", "HMAC", "Token"},
				Keys: []string{"webhook.gitlab-secret", "hmac", "token"}, HasSecret: true}},
		"registry that can set any header": {map[string]string{"webhook.jfrog-secret": "j"}, "jfrog",
			SupportedMethods{Methods: []string{"ServiceAccount", "HMAC", "Token"},
				Keys: []string{"webhook.jfrog-secret"}, HasSecret: true}},
		"registry, the secret of git hosts": {map[string]string{"hmac": "h", "token": "t"}, "docker.io",
			SupportedMethods{Methods: []string{"QueryToken"}, Keys: []string{"webhook.docker-secret"}}},
		"registry, a key without a secret": {map[string]string{"webhook.docker-secret": " \n"}, "docker.io",
			SupportedMethods{Methods: []string{"QueryToken"}, Keys: []string{"webhook.docker-secret"}}},
		"a tool": {map[string]string{"token": "t"}, "kargo",
			SupportedMethods{Methods: []string{"ServiceAccount", "Token"},
				Keys: []string{"webhook.kargo-secret", "token"}, HasSecret: true}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &Secrets{}
			if tc.data != nil {
				s = secretsWith(tc.data)
			}
			v := NewVerifier(Config{IdentityIsCredential: true}, s)
			if diff := cmp.Diff(tc.want, v.MethodsFor(namespace, tc.source)); diff != "" {
				t.Errorf("methods (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMethodsFor_WithoutIdentity(t *testing.T) {
	v := NewVerifier(Config{}, &Secrets{})
	for source, want := range map[string][]string{
		"kargo": {"Token"}, "acr": {"Token"}, "harbor": {}, "docker.io": {"QueryToken"},
	} {
		if diff := cmp.Diff(want, v.MethodsFor(namespace, source).Methods); diff != "" {
			t.Errorf("%s: methods (-want +got):\n%s", source, diff)
		}
	}
}

// A sender may list only the methods by which it is accepted.
func TestMethodsFor_QueryOnlyWhereAllowed(t *testing.T) {
	for _, s := range payload.Senders() {
		v := NewVerifier(Config{RequireSecret: true}, secretsWith(map[string]string{payload.SecretKey(s.Name): "own"}))
		method, _ := verify(t, v, Attempt{Namespace: namespace, Source: s.Name, QuerySecret: "own"})
		listed := slices.Contains(methodsOf(s), MethodQueryToken)
		if accepted := method == MethodQueryToken; listed != accepted {
			t.Errorf("%s: QueryToken listed: %t, accepted: %t", s.Name, listed, accepted)
		}
	}
}

func TestMethodsFor_SignatureOnlyWhereSupported(t *testing.T) {
	mac := hmac.New(sha1.New, []byte("own"))
	signed := []http.Header{
		header("X-Hub-Signature-256", "sha256="+sign("own", "")), header("X-Jfrog-Event-Auth", sign("own", "")),
		header("X-Nexus-Webhook-Signature", hex.EncodeToString(mac.Sum(nil))),
	}
	for _, s := range payload.Senders() {
		v := NewVerifier(Config{RequireSecret: true}, secretsWith(map[string]string{payload.SecretKey(s.Name): "own"}))
		accepted := slices.ContainsFunc(signed, func(h http.Header) bool {
			method, _ := verify(t, v, Attempt{Namespace: namespace, Source: s.Name, Header: h})
			return method == MethodHMAC
		})
		if listed := slices.Contains(methodsOf(s), MethodHMAC); listed != accepted {
			t.Errorf("%s: HMAC listed: %t, accepted: %t", s.Name, listed, accepted)
		}
	}
}

func TestKeyring_EmptyTargetKeyIsOwnKey(t *testing.T) {
	s := secretsWith(map[string]string{"hmac": "h", "applications.web.hmac": "", "gatewaysyncs.api.token": "t"})
	for _, tc := range []struct {
		namespace string
		target    Target
		want      bool
	}{
		{namespace, Target{"applications", "web"}, true},
		{namespace, Target{"gatewaysyncs", "api"}, true},
		{namespace, Target{"gatewaysyncs", "web"}, false},
		{namespace, Target{"applications", "we"}, false},
		{"other", Target{"applications", "web"}, false},
	} {
		if got := s.HasOwnKey(tc.namespace, &tc.target); got != tc.want {
			t.Errorf("%s %+v: got %t, want %t", tc.namespace, tc.target, got, tc.want)
		}
	}
}
