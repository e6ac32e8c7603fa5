// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	jose "gopkg.in/go-jose/go-jose.v2"

	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/fairness"
)

const namespace = "demo"

// signer has a private key of an issuer.
type signer struct {
	keyID     string
	algorithm jose.SignatureAlgorithm
	key       any
}

func newSigner(t testing.TB, keyID string) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{keyID, jose.ES256, key}
}

// token signs claims, which are valid for some minutes unless they say otherwise. It omits those that are nil.
func (s signer) token(t testing.TB, claims map[string]any) string {
	t.Helper()
	all := map[string]any{"iat": time.Now().Unix(), "exp": time.Now().Add(5 * time.Minute).Unix()}
	maps.Copy(all, claims)
	maps.DeleteFunc(all, func(_ string, value any) bool { return value == nil })
	payload, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	options := (&jose.SignerOptions{}).WithType("JWT")
	if s.keyID != "" {
		options = options.WithHeader("kid", s.keyID)
	}
	joseSigner, err := jose.NewSigner(jose.SigningKey{Algorithm: s.algorithm, Key: s.key}, options)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := joseSigner.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// keySetJSON returns what an issuer publishes of its keys.
func keySetJSON(t testing.TB, signers ...signer) string {
	t.Helper()
	var set jose.JSONWebKeySet
	for _, s := range signers {
		private := jose.JSONWebKey{Key: s.key, KeyID: s.keyID, Algorithm: string(s.algorithm), Use: "sig"}
		set.Keys = append(set.Keys, private.Public())
	}
	data, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// withKeys adds static keys to a configuration: to each entry, which ends its issuer with audiences.
func withKeys(t testing.TB, config string, signers ...signer) string {
	t.Helper()
	return strings.ReplaceAll(config, "\n  claimMappings:", "\n  jwks: "+keySetJSON(t, signers...)+"\n  claimMappings:")
}

// secretsWith returns the secrets of a namespace whose key oidc has the value.
func secretsWith(v *Verifier, value string) *credential.Secrets {
	secrets := &credential.Secrets{ParseIssuers: v.Parse}
	secrets.Set(namespace, map[string][]byte{"oidc": []byte(value)})
	return secrets
}

// send verifies a token in the header of its own. It returns the name of the sender or the rejection.
func send(t testing.TB, secrets *credential.Secrets, token string) (string, *credential.Rejection) {
	t.Helper()
	header := http.Header{}
	header.Set("X-Webhook-OIDC-Token", token)
	verifier := credential.NewVerifier(credential.Config{RequireSecret: true}, secrets)
	proof, err := verifier.Verify(t.Context(), credential.Attempt{
		Namespace: namespace, Source: "generic", Header: header, Body: []byte("{}"),
	})
	if err == nil {
		if proof.Method != credential.MethodOIDC {
			t.Errorf("got method %q, want OIDC", proof.Method)
		}
		return proof.Name, nil
	}
	var rejection *credential.Rejection
	if !errors.As(err, &rejection) {
		t.Fatalf("got the error %v, want a rejection", err)
	}
	if len(token) > 20 && strings.Contains(rejection.Error()+rejection.Detail, token[len(token)-20:]) {
		t.Error("the rejection repeats the token")
	}
	return "", rejection
}

func newVerifier(t testing.TB, dial Dial) *Verifier {
	t.Helper()
	v, err := New(t.Context(), dial)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func fairnessFlow() fairness.Flow { return fairness.Flow{Namespace: namespace} }
