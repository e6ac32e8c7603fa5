// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/json"
	"errors"

	jose "gopkg.in/go-jose/go-jose.v2"
)

const (
	// maxKeys is more than issuers have while they rotate.
	maxKeys = 64
	// maxTries bounds the work for a token that does not name its key.
	maxTries = 8
	// minRSABits is required by RFC 7518; beyond maxRSABits a verification takes long.
	minRSABits, maxRSABits = 2048, 8192
)

// keySet has the public keys of an issuer that can verify signatures.
type keySet []jose.JSONWebKey

// parseKeySet reads a JSON Web Key Set. Keys of other types or for other uses are skipped: they are for others.
func parseKeySet(data []byte) (keySet, error) {
	var raw struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, errors.New("it is not a JSON Web Key Set")
	}
	if len(raw.Keys) > maxKeys {
		return nil, errors.New("it has too many keys")
	}
	var keys keySet
	for _, one := range raw.Keys {
		var key jose.JSONWebKey
		if err := json.Unmarshal(one, &key); err == nil && canVerify(key) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("it has no RSA or EC public key for signatures")
	}
	return keys, nil
}

// canVerify excludes symmetric keys, private keys, and those that are too weak or too slow.
func canVerify(key jose.JSONWebKey) bool {
	if key.Use != "" && key.Use != "sig" {
		return false
	}
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		bits := public.N.BitLen()
		return bits >= minRSABits && bits <= maxRSABits
	case *ecdsa.PublicKey:
		return true
	}
	return false
}

// candidates returns the keys that a token may be signed with: the one that it names, or any if it names none.
func (s keySet) candidates(keyID, algorithm string) keySet {
	var candidates keySet
	for _, key := range s {
		if (keyID == "" || key.KeyID == keyID) && (key.Algorithm == "" || key.Algorithm == algorithm) {
			candidates = append(candidates, key)
		}
	}
	return candidates[:min(len(candidates), maxTries)]
}

// verify returns the payload of a token. found is false if there is no key to verify it with.
func (s keySet) verify(text string) (payload []byte, found bool, err error) {
	jws, err := jose.ParseSigned(text)
	if err != nil || len(jws.Signatures) != 1 {
		return nil, true, errors.New("not a signed token")
	}
	header := jws.Signatures[0].Protected
	candidates := s.candidates(header.KeyID, header.Algorithm)
	for _, key := range candidates {
		if payload, err := jws.Verify(key.Key); err == nil {
			return payload, true, nil
		}
	}
	return nil, len(candidates) > 0 && header.KeyID != "", errors.New("no key verifies the signature")
}
