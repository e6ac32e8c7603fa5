// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	jose "gopkg.in/go-jose/go-jose.v2"

	"postern.dev/postern/pkg/credential"
)

const anyConfig = `jwt:
- issuer:
    url: https://issuer.example.com
    audiences: [postern, other]
  claimValidationRules:
  - claim: group
    requiredValue: deployers
  - expression: "!claims.sub.startsWith('evil')"
  userValidationRules:
  - expression: "!user.username.startsWith('test:system:')"
    message: not a system user
  claimMappings:
    username: {claim: sub, prefix: "test:"}
`

var anyClaims = map[string]any{
	"iss": "https://issuer.example.com", "aud": "postern", "sub": "kim", "group": "deployers",
}

func TestTokens(t *testing.T) {
	issuer, stranger := newSigner(t, "k1"), newSigner(t, "k1")
	unnamed := signer{"", issuer.algorithm, issuer.key}
	hmac := publicKeyAsSecret(t, issuer)
	secrets := secretsWith(newVerifier(t, Dial{}), withKeys(t, anyConfig, issuer))
	changed := func(others map[string]any) string { return issuer.token(t, but(anyClaims, others)) }
	good := issuer.token(t, anyClaims)
	parts := strings.Split(good, ".")
	for name, test := range map[string]struct {
		token  string
		reason credential.Reason // "" if it is accepted
		says   string
	}{
		"good":              {good, "", ""},
		"several audiences": {changed(map[string]any{"aud": []string{"x", "other"}}), "", ""},
		"no kid":            {unnamed.token(t, anyClaims), "", ""},
		"nbf within the leeway": {
			changed(map[string]any{"nbf": time.Now().Add(30 * time.Second).Unix()}), "", "",
		},
		"another audience": {
			changed(map[string]any{"aud": "x"}), credential.ReasonAudienceNotAccepted, "audience",
		},
		"no audience": {
			changed(map[string]any{"aud": nil}), credential.ReasonAudienceNotAccepted, "audience",
		},
		"another issuer": {
			changed(map[string]any{"iss": "https://x.example.com"}), credential.ReasonIssuerNotTrusted, "issuer",
		},
		"the issuer with a slash": {
			changed(map[string]any{"iss": "https://issuer.example.com/"}), credential.ReasonIssuerNotTrusted, "issuer",
		},
		"no issuer": {
			changed(map[string]any{"iss": nil}), credential.ReasonMalformedToken, "not a JWT",
		},
		"expired": {
			changed(map[string]any{"exp": time.Now().Add(-time.Second).Unix()}),
			credential.ReasonTokenExpired, "expired",
		},
		"never expires":  {changed(map[string]any{"exp": nil}), credential.ReasonMalformedToken, "exp"},
		"expiry as text": {changed(map[string]any{"exp": "x"}), credential.ReasonMalformedToken, ""},
		"not valid yet": {
			changed(map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}),
			credential.ReasonTokenNotYetValid, "clock",
		},
		"a claim not as required": {
			changed(map[string]any{"group": "others"}), credential.ReasonClaimsNotAccepted, "",
		},
		"a claim is missing": {changed(map[string]any{"group": nil}), credential.ReasonClaimsNotAccepted, ""},
		"a claim of another type": {
			changed(map[string]any{"group": []string{"deployers"}}), credential.ReasonClaimsNotAccepted, "",
		},
		"an expression is false": {changed(map[string]any{"sub": "evil"}), credential.ReasonClaimsNotAccepted, ""},
		"a rule of users": {
			changed(map[string]any{"sub": "system:admin"}), credential.ReasonClaimsNotAccepted, "",
		},
		"a name with a line break": {
			changed(map[string]any{"sub": "kim\nroot"}), credential.ReasonClaimsNotAccepted, "",
		},
		"a name from right to left": {
			changed(map[string]any{"sub": "kim\u202etoor"}), credential.ReasonClaimsNotAccepted, "",
		},
		"a long name": {
			changed(map[string]any{"sub": strings.Repeat("k", 257)}), credential.ReasonClaimsNotAccepted, "",
		},
		"claims in another case": {
			changed(map[string]any{"aud": "x", "AUD": "postern"}), credential.ReasonMalformedToken, "",
		},
		"another key, same kid": {stranger.token(t, anyClaims), credential.ReasonTokenSignatureMismatch, ""},
		"another kid": {
			signer{"k2", issuer.algorithm, issuer.key}.token(t, anyClaims), credential.ReasonKeyNotFound, "",
		},
		"HS256 with the public key": {
			hmac.token(t, anyClaims), credential.ReasonTokenAlgorithm, "no other algorithm",
		},
		"alg none": {
			unsigned("none", anyClaimsJSON), credential.ReasonTokenAlgorithm, "no other algorithm",
		},
		"alg none, other case": {
			unsigned("nOnE", anyClaimsJSON), credential.ReasonTokenAlgorithm, "no other algorithm",
		},
		"no alg": {
			unsigned("", anyClaimsJSON), credential.ReasonTokenAlgorithm, "no other algorithm",
		},
		"no signature": {parts[0] + "." + parts[1] + ".", credential.ReasonTokenSignatureMismatch, ""},
		"the signature of another": {
			parts[0] + "." + strings.Split(changed(map[string]any{"sub": "lee"}), ".")[1] + "." + parts[2],
			credential.ReasonTokenSignatureMismatch, "",
		},
		"encrypted": {encrypted(t, good), credential.ReasonTokenEncrypted, "only sign it"},
		"nested":    {nested(t, issuer, good), credential.ReasonMalformedToken, "not a JWT"},
		"in JSON": {
			`{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
			credential.ReasonMalformedToken, "",
		},
		"too long": {
			changed(map[string]any{"x": strings.Repeat("x", 16<<10)}), credential.ReasonTokenTooLong, "too long",
		},
		"many dots":       {strings.Repeat(".", 10_000), credential.ReasonMalformedToken, ""},
		"a text":          {"hunter2", credential.ReasonMalformedToken, "not a JWT"},
		"with the scheme": {"Bearer " + good, credential.ReasonMalformedToken, "without Bearer"},
	} {
		t.Run(name, func(t *testing.T) {
			got, rejection := send(t, secrets, test.token)
			switch {
			case rejection == nil && (test.reason != "" || got != "test:kim"):
				t.Errorf("accepted as %q", got)
			case rejection != nil && rejection.Reason != test.reason:
				t.Errorf("got %q, want %q", rejection.Reason, test.reason)
			case rejection != nil && !strings.Contains(rejection.Error(), test.says):
				t.Errorf("%q does not say %q", rejection.Error(), test.says)
			}
		})
	}
}

// The answer depends on the token alone, not on what the namespace trusts.
func TestTokens_AnswerHidesConfiguration(t *testing.T) {
	issuer := newSigner(t, "k1")
	v := newVerifier(t, Dial{})
	trusting := secretsWith(v, withKeys(t, anyConfig, issuer))
	strict := secretsWith(v, withKeys(t, strings.Replace(anyConfig, "deployers", "admins", 1), issuer))
	other := secretsWith(v, withKeys(t, strings.Replace(anyConfig, "issuer.example", "other.example", 1), issuer))
	for name, claims := range map[string]map[string]any{
		"refused by all": but(anyClaims, map[string]any{"group": "none"}),
		"expired":        but(anyClaims, map[string]any{"exp": 1}),
	} {
		token := issuer.token(t, claims)
		_, want := send(t, &credential.Secrets{}, token)
		for _, secrets := range []*credential.Secrets{trusting, strict, other} {
			if _, got := send(t, secrets, token); got == nil || got.Error() != want.Error() {
				t.Errorf("%s: got %v, want %v", name, got, want)
			}
		}
	}
}

// The detail for the operator's log names the rule by its own text.
func TestTokens_DetailNamesRule(t *testing.T) {
	issuer := newSigner(t, "k1")
	secrets := secretsWith(newVerifier(t, Dial{}), withKeys(t, anyConfig, issuer))
	for want, claims := range map[string]map[string]any{
		"the claim group is not as required": {"group": "sh0wn"},
		"!claims.sub.startsWith('evil')":     {"sub": "evil sh0wn"},
		"not a system user":                  {"sub": "system:sh0wn"},
	} {
		_, rejection := send(t, secrets, issuer.token(t, but(anyClaims, claims)))
		if rejection == nil || rejection.Detail != want {
			t.Errorf("got %+v, want the detail %q", rejection, want)
		}
	}
}

const anyClaimsJSON = `{"iss":"https://issuer.example.com","aud":"postern","sub":"kim","group":"deployers",` +
	`"exp":4000000000}`

func unsigned(algorithm, claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"`+algorithm+`","kid":"k1"}`)) + "." + encode([]byte(claims)) + "."
}

// publicKeyAsSecret returns a signer that uses the public key of another as a shared secret.
func publicKeyAsSecret(t *testing.T, s signer) signer {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(s.key.(*ecdsa.PrivateKey).Public())
	if err != nil {
		t.Fatal(err)
	}
	return signer{s.keyID, jose.HS256, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})}
}

func encrypted(t *testing.T, text string) string {
	t.Helper()
	key := make([]byte, 16)
	encrypter, err := jose.NewEncrypter(jose.A128GCM, jose.Recipient{Algorithm: jose.A128KW, Key: key},
		(&jose.EncrypterOptions{}).WithContentType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	object, err := encrypter.Encrypt([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	compact, err := object.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// nested returns a token that is signed again.
func nested(t *testing.T, s signer, text string) string {
	t.Helper()
	joseSigner, err := jose.NewSigner(jose.SigningKey{Algorithm: s.algorithm, Key: s.key},
		(&jose.SignerOptions{}).WithContentType("JWT").WithHeader("kid", s.keyID))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := joseSigner.Sign([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// FuzzToken sends arbitrary tokens to a namespace with one issuer. None may panic or be accepted, but for the good one.
func FuzzToken(f *testing.F) {
	issuer := newSigner(f, "k1")
	secrets := secretsWith(newVerifier(f, Dial{}), withKeys(f, anyConfig, issuer))
	good := issuer.token(f, but(anyClaims, map[string]any{"exp": 4_000_000_000}))
	for _, seed := range []string{
		good, unsigned("none", anyClaimsJSON), unsigned("ES256", anyClaimsJSON), unsigned("RS512", `{"iss":1e999}`), "",
		"..", "....", "eyJ.eyJ.", good + ".", good[:len(good)-2], strings.ToUpper(good),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		name, rejection := send(t, secrets, token)
		// The last character of base64 may have unused bits, so several texts are the same signature.
		isGood := strings.HasPrefix(token, good[:len(good)-1])
		switch {
		case rejection == nil && !isGood:
			t.Errorf("accepted %q as %q", token, name)
		case rejection != nil && token == good:
			t.Errorf("rejected the good token: %+v", rejection)
		}
	})
}
