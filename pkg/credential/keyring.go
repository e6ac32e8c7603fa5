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
	hmacSuffix  = "." + hmacKey
	tokenSuffix = "." + tokenKey
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
	// registryURLs are the texts under the keys of registryURLKey.
	registryURLs map[string]string
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
		case isRegistryURLKey(key):
			ring.registryURLs = withRegistryURLs(ring.registryURLs, key, value)
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
		(strings.HasSuffix(rest, hmacSuffix) || strings.HasSuffix(rest, tokenSuffix))
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

func (v validSecrets) hasAny() bool { return len(v.hmac)+len(v.token) > 0 }

func (k keyring) forAttempt(a Attempt) validSecrets {
	var valid validSecrets
	lookup := func(key string) []secret {
		secrets, found := k.secrets[key]
		valid.applies = valid.applies || found
		return secrets
	}
	if a.Target != nil {
		ownHMAC, ownToken := a.Target.keys()
		valid.hmac, valid.token = lookup(ownHMAC), lookup(ownToken)
		if valid.applies {
			valid.configured = true
			return valid
		}
	}
	if !hasOnlyOwnKey(a.Source) {
		valid.hmac, valid.token = lookup(hmacKey), lookup(tokenKey)
	}
	if a.Source != "" {
		own := lookup(sourceKey(a.Source))
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
	return prefix + hmacSuffix, prefix + tokenSuffix
}

// registryURLKeySuffix ends the key under which the address of a registry is, beside the secrets. Where only a signature
// proves the sender, what the query of the URL says is not proved, and this counts in its place.
const registryURLKeySuffix = "-registry-url"

// maxRegistryURLsBytes bounds what is read under one such key: more than any list of repositories needs.
const maxRegistryURLsBytes = 16 << 10

func registryURLKey(source string) string { return sourceKeyPrefix + source + registryURLKeySuffix }

func isRegistryURLKey(key string) bool {
	return strings.HasPrefix(key, sourceKeyPrefix) && strings.HasSuffix(key, registryURLKeySuffix)
}

// withRegistryURLs adds the text under a key. A text that is too long is left out whole: half an address is another one.
func withRegistryURLs(urls map[string]string, key string, value []byte) map[string]string {
	if len(value) > maxRegistryURLsBytes {
		return urls
	}
	if urls == nil {
		urls = map[string]string{}
	}
	urls[key] = string(value)
	return urls
}

// RegistryURLs returns the addresses that a namespace gives for the registry of a type of sender, as they are written
// there, or "". It is safe for concurrent use.
func (s *Secrets) RegistryURLs(namespace, source string) string {
	return s.keyring(namespace).registryURLs[registryURLKey(source)]
}
