// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import "testing"

func TestAuthorization_IsTokenOnlyIfSendersOwn(t *testing.T) {
	secrets := secretsWith(map[string]string{
		"hmac": "h", "token": "t0ken\nBasic dXNlcg==", "webhook.harbor-secret": "harb0r",
		"webhook.acr-secret": "Bearer acr", "webhook.quay-secret": "",
	})
	for name, tc := range map[string]struct {
		source, value string
		want          Method
		reason        Reason
	}{
		"Bearer":                        {"generic", "Bearer t0ken", MethodToken, ""},
		"the scheme in lower case":      {"generic", "bearer t0ken", MethodToken, ""},
		"the scheme in upper case":      {"generic", "BEARER t0ken", MethodToken, ""},
		"more space":                    {"generic", "Bearer   t0ken", MethodToken, ""},
		"without a scheme":              {"generic", "t0ken", MethodToken, ""},
		"a secret with a scheme":        {"generic", "Basic dXNlcg==", MethodToken, ""},
		"a secret without its scheme":   {"generic", "dXNlcg==", "", ReasonTokenMismatch},
		"another scheme":                {"generic", "Token t0ken", "", ReasonTokenMismatch},
		"the scheme alone":              {"generic", "Bearer", "", ReasonTokenMismatch},
		"the scheme and a space":        {"generic", "Bearer ", "", ReasonTokenMismatch},
		"the token in another case":     {"generic", "Bearer T0KEN", "", ReasonTokenMismatch},
		"the HMAC key":                  {"generic", "Bearer h", "", ReasonTokenMismatch},
		"Harbor, without a scheme":      {"harbor", "harb0r", MethodToken, ""},
		"Harbor, with a scheme":         {"harbor", "Bearer harb0r", MethodToken, ""},
		"Harbor, the token for git":     {"harbor", "t0ken", "", ReasonTokenMismatch},
		"a secret that includes Bearer": {"acr", "Bearer acr", MethodToken, ""},
		"a registry with an empty key":  {"quay.io", "", "", ReasonNoCredential},
		"a registry without a key":      {"docker.io", "t0ken", "", ReasonNoSecretConfigured},
		"empty":                         {"generic", "", "", ReasonNoCredential},
	} {
		t.Run(name, func(t *testing.T) {
			v := NewVerifier(Config{RequireSecret: true, IdentityIsCredential: true}, secrets)
			a := Attempt{Namespace: namespace, Source: tc.source, Header: header("Authorization", tc.value),
				AuthorizationIsToken: true}
			if method, reason := verify(t, v, a); method != tc.want || reason != tc.reason {
				t.Errorf("got method %q, reason %q; want %q, %q", method, reason, tc.want, tc.reason)
			}
			a.AuthorizationIsToken = false
			if method, reason := verify(t, v, a); method != "" || reason != ReasonNoCredential {
				t.Errorf("at an endpoint of the API: got method %q, reason %q; want the header ignored", method, reason)
			}
		})
	}
}

func TestAuthorization_RepeatedIsIgnored(t *testing.T) {
	v := NewVerifier(Config{RequireSecret: true}, secretsWith(map[string]string{"token": "t"}))
	a := Attempt{Namespace: namespace, Header: header("Authorization", "Bearer t", "Authorization", "Bearer x"),
		AuthorizationIsToken: true}
	if method, reason := verify(t, v, a); method != "" || reason != ReasonRepeatedHeader {
		t.Errorf("got method %q, reason %q; want %q", method, reason, ReasonRepeatedHeader)
	}
}
