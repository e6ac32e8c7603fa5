// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/pkg/secretheader"
)

// fakeIssuers trust the issuer that their value names. pkg/oidc tests the real ones.
type fakeIssuers struct {
	trusted string
	closed  int
	err     *TokenError
}

func (f *fakeIssuers) Verify(_ context.Context, token IDToken) (string, error) {
	switch {
	case f.err != nil:
		return "", f.err
	case token.Issuer != f.trusted:
		return "", &TokenError{Reason: ReasonIssuerNotTrusted}
	}
	return "kim of " + f.trusted, nil
}

func (f *fakeIssuers) Len() int { return 1 }
func (f *fakeIssuers) Close()   { f.closed++ }

// secretsWithIssuers returns the secrets of the namespace, and all issuers that are parsed for it.
func secretsWithIssuers(data map[string]string) (*Secrets, *[]*fakeIssuers) {
	var parsed []*fakeIssuers
	secrets := &Secrets{ParseIssuers: func(_ string, value []byte) (Issuers, error) {
		if string(value) == "broken" {
			return nil, errors.New("it is broken")
		}
		parsed = append(parsed, &fakeIssuers{trusted: string(value)})
		return parsed[len(parsed)-1], nil
	}}
	secrets.Set(namespace, asBytes(data))
	return secrets, &parsed
}

// idToken returns a token that is not signed.
func idToken(issuer string, more string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256"}`)) + "." + encode([]byte(`{"iss":"`+issuer+`","exp":4000000000`+more+`}`)) +
		".c2lnbmF0dXJl"
}

func TestIssuers_ScopeOfKeys(t *testing.T) {
	secrets, _ := secretsWithIssuers(map[string]string{
		"oidc": "ns", "gatewaysyncs.web.oidc": "web", "gatewaysyncs.db.hmac": "x", "gatewaysyncs.none.oidc": "broken",
	})
	secrets.SetDefaults(asBytes(map[string]string{"token": "default"}))
	v := NewVerifier(Config{RequireSecret: true}, secrets)
	for name, test := range map[string]struct {
		target, issuer string
		want           Method
		reason         Reason
	}{
		"namespace":                      {"", "ns", MethodOIDC, ""},
		"a target without its own key":   {"other", "ns", MethodOIDC, ""},
		"another issuer":                 {"other", "web", "", ReasonIssuerNotTrusted},
		"a target's own issuer":          {"web", "web", MethodOIDC, ""},
		"replaces the namespace's":       {"web", "ns", "", ReasonIssuerNotTrusted},
		"an own key of another kind":     {"db", "ns", "", ReasonNoSecretConfigured},
		"an own key that can't be used":  {"none", "ns", "", ReasonInvalidConfiguration},
		"a registry, which has no token": {"", "ns", MethodOIDC, ""},
	} {
		a := Attempt{Namespace: namespace, Source: "docker.io", Header: header("X-Webhook-OIDC-Token",
			idToken(test.issuer, ""))}
		if test.target != "" {
			a.Target = &Target{Resource: "gatewaysyncs", Name: test.target}
		}
		if got, reason := verify(t, v, a); got != test.want || reason != test.reason {
			t.Errorf("%s: got %q, %q; want %q, %q", name, got, reason, test.want, test.reason)
		}
	}
	// Defaults are valid beside the namespace's issuers, and not beside those of a target.
	a := Attempt{Namespace: namespace, Source: "generic", Header: header("X-Webhook-Token", "default")}
	if got, reason := verify(t, v, a); got != MethodToken {
		t.Errorf("a default secret: got %q, %q", got, reason)
	}
	a.Target = &Target{Resource: "gatewaysyncs", Name: "web"}
	if got, _ := verify(t, v, a); got != "" {
		t.Errorf("a default secret for a target with its own issuers: accepted by %q", got)
	}
}

func TestIssuers_ClosedWhenReplaced(t *testing.T) {
	secrets, parsed := secretsWithIssuers(map[string]string{"oidc": "one", "gatewaysyncs.web.oidc": "two"})
	secrets.Set(namespace, asBytes(map[string]string{"oidc": "three"}))
	secrets.Delete(namespace)
	for _, issuers := range *parsed {
		if issuers.closed != 1 {
			t.Errorf("%s: closed %d times", issuers.trusted, issuers.closed)
		}
	}
	if len(*parsed) != 3 {
		t.Errorf("%d were parsed", len(*parsed))
	}
}

func TestIssuers_Bounded(t *testing.T) {
	many, long := map[string]string{}, map[string]string{}
	for n := range maxIssuerKeys + 5 {
		many[fmt.Sprintf("gatewaysyncs.n%d.oidc", n)] = "x"
	}
	for n := range 5 {
		long[fmt.Sprintf("gatewaysyncs.n%d.oidc", n)] = strings.Repeat("x", maxIssuerBytes/4)
	}
	for name, test := range map[string]struct {
		data map[string]string
		want int
	}{"keys": {many, maxIssuerKeys}, "bytes": {long, 4}} {
		if _, parsed := secretsWithIssuers(test.data); len(*parsed) != test.want {
			t.Errorf("%s: %d values were parsed, want %d", name, len(*parsed), test.want)
		}
	}
}

// A namespace that trusts issuers can accept every type of sender at the classic receiver.
func TestIssuers_CanAccept(t *testing.T) {
	secrets, _ := secretsWithIssuers(map[string]string{"oidc": "one"})
	v := NewVerifier(Config{RequireSecret: true}, secrets)
	if !v.CanAccept("gar") {
		t.Error("gar is not accepted")
	}
	secrets.Set(namespace, asBytes(map[string]string{"oidc": "broken"}))
	if v.CanAccept("gar") {
		t.Error("gar is accepted although no issuer is trusted")
	}
}

// A token that may be accepted later takes precedence over mismatches in other namespaces.
func TestIssuers_InNamespaces(t *testing.T) {
	secrets, parsed := secretsWithIssuers(map[string]string{"oidc": "one"})
	secrets.Set("other", asBytes(map[string]string{"oidc": "two", "hmac": "x"}))
	v := NewVerifier(Config{RequireSecret: true}, secrets)
	a := Attempt{Source: "generic", Header: header("X-Webhook-OIDC-Token", idToken("one", ""))}
	both := []string{namespace, "other"}
	got, err := v.VerifyInNamespaces(t.Context(), both, a)
	want := []Acceptance{{namespace, Proof{MethodOIDC, "kim of one"}}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("(-want +got):\n%s%v", diff, err)
	}
	(*parsed)[0].err = &TokenError{Reason: ReasonKeysUnknown, RetryAfter: time.Second}
	_, err = v.VerifyInNamespaces(t.Context(), both, a)
	var rejection *Rejection
	if !errors.As(err, &rejection) || rejection.RetryAfter != time.Second {
		t.Errorf("got %v, want to try again", err)
	}
}

func TestReadIDTokens(t *testing.T) {
	const own = secretheader.IDToken
	good := idToken("one", "")
	now := time.Unix(2_000_000_000, 0)
	for name, test := range map[string]struct {
		header  http.Header
		bearer  bool
		want    int
		problem Reason
	}{
		"own header":                   {header("X-Webhook-OIDC-Token", good), false, 1, ""},
		"both headers":                 {header(own, good, "Authorization", "Bearer "+good), true, 2, ""},
		"bearer":                       {header("Authorization", "bearer "+good), true, 1, ""},
		"Authorization of the cluster": {header("Authorization", "Bearer "+good), false, 0, ""},
		"bare":                         {header("Authorization", good), true, 0, ""},
		"a shared secret":              {header("Authorization", "Bearer s3cret"), true, 0, ""},
		"a secret with dots":           {header("Authorization", "Bearer a.b.c"), true, 0, ""},
		"an encrypted bearer token":    {header("Authorization", "Bearer eyJ.a.b.c.d"), true, 0, ReasonTokenEncrypted},
		"twice":                        {http.Header{own: {good, good}}, false, 0, ReasonRepeatedHeader},
		"a malformed one and a good one": {
			header("X-Webhook-OIDC-Token", "x", "Authorization", "Bearer "+good), true, 1, ReasonMalformedToken,
		},
	} {
		got, problem := readIDTokens(Attempt{Header: test.header, AuthorizationIsToken: test.bearer}, now)
		if len(got) != test.want || problem != test.problem {
			t.Errorf("%s: got %d tokens and %q, want %d and %q", name, len(got), problem, test.want, test.problem)
		}
	}
	for claims, want := range map[string]Reason{
		`,"exp":2000000000`:      "",
		`,"exp":1999999999`:      ReasonTokenExpired,
		`,"nbf":2000000060`:      "",
		`,"nbf":2000000061`:      ReasonTokenNotYetValid,
		`,"exp":2000000000.5`:    "",
		`,"exp":1e300`:           ReasonMalformedToken,
		`,"exp":null`:            "",
		`,"aud":["a","b"]`:       "",
		`,"aud":[1]`:             ReasonMalformedToken,
		`,"iat":"now"`:           ReasonMalformedToken,
		`,"Exp":1`:               ReasonMalformedToken,
		`,"i\u017f\u017f":"one"`: ReasonMalformedToken,
		`,"nested":{"EXP":1}`:    "",
	} {
		if _, got := readIDToken(idToken("one", claims), now); got != want {
			t.Errorf("%s: got %q, want %q", claims, got, want)
		}
	}
}
