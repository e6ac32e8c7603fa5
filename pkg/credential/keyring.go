// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"crypto/sha256"
	"slices"
	"strings"
)

// The keys of a Kubernetes Secret, and the endings of a target's own ones.
const (
	hmacKey     = "hmac"
	tokenKey    = "token"
	hmacEnding  = "." + hmacKey
	tokenEnding = "." + tokenKey
)

// maxSecretsPerKey bounds the work that one namespace's secrets can cause for everybody, since the body is hashed once
// for each of them. Secrets beyond it are not read.
const maxSecretsPerKey = 64

// secret is one shared secret. It is never empty.
type secret struct {
	key        []byte
	digest     [sha256.Size]byte // of key, to compare tokens with
	signingKey []byte            // what is in the secret if it is a signing token, else nil
}

// keyring is the parsed data of one Kubernetes Secret. It never changes, and its zero value is that of a namespace
// without one.
type keyring struct {
	secrets map[string][]secret // by key; a key without any secret is there too
	// hasSourceKey and hasTargetKey say whether any sender, or any target, has a key of its own.
	hasSourceKey, hasTargetKey bool
	// unread is how many secrets are not read, by the keys that hold more than maxSecretsPerKey.
	unread map[string]int
	// registries are the texts under the keys of registryKey.
	registries map[string]string
}

func newKeyring(data map[string][]byte) keyring {
	ring := keyring{secrets: map[string][]secret{}, unread: map[string]int{}}
	for key, value := range data {
		switch {
		case key == hmacKey || key == tokenKey:
		case isSourceKey(key):
			ring.hasSourceKey = true
		case isTargetKey(key):
			ring.hasTargetKey = true
		case isRegistryKey(key):
			ring.registries = withRegistries(ring.registries, key, value)
			continue
		default:
			continue
		}
		secrets, unread := parseSecrets(value)
		ring.secrets[key] = secrets
		if unread > 0 {
			ring.unread[key] = unread
		}
	}
	return ring
}

func isSourceKey(key string) bool {
	return strings.HasPrefix(key, sourceKeyPrefix) && strings.HasSuffix(key, sourceKeySuffix)
}

func isTargetKey(key string) bool {
	resource, rest, _ := strings.Cut(key, ".")
	return (resource == ResourceGatewaySyncs || resource == ResourceApplications) &&
		(strings.HasSuffix(rest, hmacEnding) || strings.HasSuffix(rest, tokenEnding))
}

func parseSecrets(value []byte) (parsed []secret, unread int) {
	for line := range strings.Lines(string(value)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
		case len(parsed) == maxSecretsPerKey:
			unread++
		default:
			key := []byte(line)
			parsed = append(parsed, secret{key: key, digest: sha256.Sum256(key), signingKey: signingKey(line)})
		}
	}
	return parsed, unread
}

// validSecrets are the secrets by which one attempt may prove itself.
type validSecrets struct {
	hmac, token []secret
	// applies says that a key is for such an attempt, even one that holds no secret.
	applies bool
	// configured says that a key applies, or may turn out to. Nothing may then be accepted without a proof.
	configured bool
}

func (v validSecrets) holdAny() bool { return len(v.hmac)+len(v.token) > 0 }

func (k keyring) forAttempt(a Attempt) validSecrets {
	var valid validSecrets
	take := func(key string) []secret {
		secrets, found := k.secrets[key]
		valid.applies = valid.applies || found
		return secrets
	}
	if a.Target != nil {
		ownHMAC, ownToken := a.Target.keys()
		valid.hmac, valid.token = take(ownHMAC), take(ownToken)
		if valid.applies {
			valid.configured = true
			return valid
		}
	}
	if !hasOnlyOwnKey(a.Source) {
		valid.hmac, valid.token = take(hmacKey), take(tokenKey)
	}
	if a.Source != "" {
		own := take(sourceKey(a.Source))
		valid.hmac, valid.token = slices.Concat(valid.hmac, own), slices.Concat(valid.token, own)
	}
	// A payload whose sender is not known yet may turn out to be from one with a key, and a delivery that names no target
	// may reach one with a key.
	valid.configured = valid.applies || a.Source == "" && k.hasSourceKey || a.Target == nil && k.hasTargetKey
	return valid
}

// hasOwnKey reports whether there is a key for that target alone.
func (k keyring) hasOwnKey(t Target) bool {
	ownHMAC, ownToken := t.keys()
	_, hasHMAC := k.secrets[ownHMAC]
	_, hasToken := k.secrets[ownToken]
	return hasHMAC || hasToken
}

// keys returns the keys for that target alone.
func (t Target) keys() (hmac, token string) {
	prefix := t.Resource + "." + t.Name
	return prefix + hmacEnding, prefix + tokenEnding
}
