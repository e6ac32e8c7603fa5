// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package testcluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"testing"
	"time"

	jose "gopkg.in/go-jose/go-jose.v2"
)

// Issuer makes OIDC tokens like an issuer whose keys are in the Secret of a namespace, and that is never asked.
type Issuer struct {
	t   testing.TB
	url string
	key *ecdsa.PrivateKey
}

// NewIssuer returns an issuer with a key of its own.
func NewIssuer(t testing.TB, url string) *Issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &Issuer{t, url, key}
}

// keyID is the id of the key of every Issuer.
const keyID = "test"

// KeySet returns the JSON Web Key Set that such an issuer would publish.
func (i *Issuer) KeySet() string {
	i.t.Helper()
	keys := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: i.key.Public(), KeyID: keyID, Algorithm: string(jose.ES256), Use: "sig"},
	}}
	data, err := json.Marshal(keys)
	if err != nil {
		i.t.Fatal(err)
	}
	return string(data)
}

// Configuration returns the value of a key oidc that trusts the issuer for an audience. Senders have the name test: and
// the claim sub, which must not be evil.
func (i *Issuer) Configuration(audience string) string {
	return fmt.Sprintf(`jwt:
- issuer: {url: %q, audiences: [%q]}
  jwks: %s
  claimValidationRules: [{expression: "claims.sub != 'evil'"}]
  claimMappings: {username: {claim: sub, prefix: "test:"}}
`, i.url, audience, i.KeySet())
}

// Token returns a token for an audience and a subject, valid for some minutes, with more claims.
func (i *Issuer) Token(audience, subject string, more map[string]any) string {
	i.t.Helper()
	claims := map[string]any{
		"iss": i.url, "aud": audience, "sub": subject,
		"iat": time.Now().Unix(), "exp": time.Now().Add(10 * time.Minute).Unix(),
	}
	maps.Copy(claims, more)
	payload, err := json.Marshal(claims)
	if err != nil {
		i.t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: i.key},
		(&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", keyID))
	if err != nil {
		i.t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		i.t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		i.t.Fatal(err)
	}
	return text
}
