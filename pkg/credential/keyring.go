// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/payload"
)

// The keys of a Kubernetes Secret, and the suffixes of the keys of targets.
const (
	hmacKey     = "hmac"
	tokenKey    = "token"
	oidcKey     = "oidc"
	hmacSuffix  = "." + hmacKey
	tokenSuffix = "." + tokenKey
	oidcSuffix  = "." + oidcKey
)

// maxSecretsPerKey bounds the work that the secrets of one namespace cause, because the body is hashed once for each.
// Further secrets are ignored.
const maxSecretsPerKey = 64

const (
	// maxIssuerKeys and maxIssuerBytes bound the keys of a namespace that have issuers, and their values, which are
	// parsed whenever its Secret changes. Further keys can't be used.
	maxIssuerKeys  = 16
	maxIssuerBytes = 64 << 10
)

// secret is one shared secret. It is never empty.
type secret struct {
	key        []byte
	digest     [sha256.Size]byte // of key, to compare tokens with
	signingKey []byte            // decoded if the secret is a signing token, otherwise nil
}

// keyring is the parsed data of one Kubernetes Secret. It is immutable, and its zero value is for a namespace without
// the Secret.
type keyring struct {
	secrets map[string][]secret // by key; includes keys without any secret
	// hasSourceKey and hasTargetKey report whether any sender, or any target, has a key of its own.
	hasSourceKey, hasTargetKey bool
	// unread is the number of ignored secrets, by the keys that have more than maxSecretsPerKey.
	unread map[string]int
	// registryURLs are the values by payload.RegistryURLKey.
	registryURLs map[string]string
	// issuers are the issuers of OIDC tokens by key, noIssuers for a key that can't be used, and problems says why.
	issuers     map[string]Issuers
	issuerBytes int
	problems    map[string]error
}

// newKeyring parses data. Its issuers must be closed. Without parse, no key has issuers.
func newKeyring(namespace string, data map[string][]byte, parse IssuerParser) keyring {
	ring := keyring{secrets: map[string][]secret{}, unread: map[string]int{}, problems: map[string]error{}}
	for _, key := range slices.Sorted(maps.Keys(data)) {
		value := data[key]
		switch {
		case key == oidcKey || isTargetKey(key) && strings.HasSuffix(key, oidcSuffix):
			ring.hasTargetKey = ring.hasTargetKey || key != oidcKey
			ring.parseIssuers(namespace, key, value, parse)
			continue
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

// parseIssuers adds the issuers of a key.
func (k *keyring) parseIssuers(namespace, key string, value []byte, parse IssuerParser) {
	if k.issuers == nil {
		k.issuers = map[string]Issuers{}
	}
	k.issuers[key] = noIssuers{}
	k.issuerBytes += len(value)
	switch {
	case parse == nil:
	case len(k.issuers) > maxIssuerKeys || k.issuerBytes > maxIssuerBytes:
		k.problems[key] = fmt.Errorf("a namespace may have %d keys with issuers, with %d bytes in all", maxIssuerKeys,
			maxIssuerBytes)
	default:
		issuers, err := parse(namespace, value)
		if err != nil {
			k.problems[key] = err
			return
		}
		k.issuers[key] = issuers
	}
}

// close closes the issuers.
func (k keyring) close() {
	for _, issuers := range k.issuers {
		issuers.Close()
	}
}

// noIssuers trusts none.
type noIssuers struct{}

func (noIssuers) Verify(context.Context, IDToken) (string, error) {
	return "", &TokenError{Reason: ReasonInvalidConfiguration}
}
func (noIssuers) Len() int { return 0 }
func (noIssuers) Close()   {}

func isSourceKey(key string) bool {
	return strings.HasPrefix(key, "webhook.") && strings.HasSuffix(key, "-secret")
}

func isTargetKey(key string) bool {
	resource, rest, _ := strings.Cut(key, ".")
	isTarget := slices.ContainsFunc(postern.TargetKinds(), func(k postern.TargetKind) bool {
		return k.Resource() == resource
	})
	return isTarget && slices.ContainsFunc([]string{hmacSuffix, tokenSuffix, oidcSuffix}, func(suffix string) bool {
		return strings.HasSuffix(rest, suffix)
	})
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

// validSecrets are the secrets that an attempt may use.
type validSecrets struct {
	hmac, token []secret
	// issuers are those of OIDC tokens, nil if there is no key for them.
	issuers Issuers
	// applies is true if there is a key for such an attempt, even one without a secret.
	applies bool
	// configured is true if a key applies or may turn out to. Then nothing is accepted without a credential.
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
		ownHMAC, ownToken, ownOIDC := a.Target.keys()
		valid.hmac, valid.token = lookup(ownHMAC), lookup(ownToken)
		valid.issuers = k.issuers[ownOIDC]
		valid.applies = valid.applies || valid.issuers != nil
		if valid.applies {
			valid.configured = true
			return valid
		}
	}
	if sender, _ := payload.Lookup(a.Source); !sender.OnlyOwnSecret() {
		valid.hmac, valid.token = lookup(hmacKey), lookup(tokenKey)
	}
	if a.Source != "" {
		own := lookup(payload.SecretKey(a.Source))
		valid.hmac, valid.token = slices.Concat(valid.hmac, own), slices.Concat(valid.token, own)
	} else {
		valid.token = slices.Concat(valid.token, k.sourceTokens())
	}
	// Issuers are valid beside default secrets, which are for other senders. So they do not replace them.
	valid.issuers = k.issuers[oidcKey]
	// A payload of an unknown sender may turn out to be from one with a key, and a delivery without a target may reach
	// one with a key.
	valid.configured = valid.applies || valid.issuers != nil || a.Source == "" && k.hasSourceKey ||
		a.Target == nil && k.hasTargetKey
	return valid
}

// sourceTokens returns the secrets of all types of sender that can send a token. A delivery whose sender only the
// payload shows may have any of them, and is verified again once the payload is decoded.
func (k keyring) sourceTokens() []secret {
	var tokens []secret
	for _, key := range tokenKeys {
		tokens = append(tokens, k.secrets[key]...)
	}
	return tokens
}

// tokenKeys are the keys of the types of sender that can send a token.
var tokenKeys = func() (keys []string) {
	for _, sender := range payload.Senders() {
		if sender.Token {
			keys = append(keys, payload.SecretKey(sender.Name))
		}
	}
	return keys
}()

func (k keyring) hasOwnKey(t Target) bool {
	ownHMAC, ownToken, ownOIDC := t.keys()
	_, hasHMAC := k.secrets[ownHMAC]
	_, hasToken := k.secrets[ownToken]
	return hasHMAC || hasToken || k.issuers[ownOIDC] != nil
}

func (t Target) keys() (hmac, token, oidc string) {
	prefix := t.Resource + "." + t.Name
	return prefix + hmacSuffix, prefix + tokenSuffix, prefix + oidcSuffix
}

// maxRegistryURLsBytes bounds the URLs of one registry. No list of repositories needs more. A signature does not cover
// the query of the webhook's URL, so for senders that only sign this value replaces the URL in the query.
const maxRegistryURLsBytes = 16 << 10

func isRegistryURLKey(key string) bool {
	return strings.HasPrefix(key, "webhook.") && strings.HasSuffix(key, "-registry-url")
}

// withRegistryURLs adds a value unless it is too long: a truncated URL would be another URL.
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

// RegistryURLs returns the unparsed URLs that a namespace configures for the registry of a type of sender, or "". It is
// safe for concurrent use.
func (s *Secrets) RegistryURLs(namespace, source string) string {
	return s.keyring(namespace).registryURLs[payload.RegistryURLKey(source)]
}
