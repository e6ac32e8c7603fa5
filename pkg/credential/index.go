// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"slices"

	"postern.dev/postern/pkg/payload"
)

// secretIndex counts the namespaces that have a secret under a key, for each key that is not a target's. It has no
// entries for keys without one.
type secretIndex map[string]int

// count adds change, 1 or -1, to the counts of the keys of one namespace.
func (x secretIndex) count(ring keyring, change int) {
	for key, secrets := range ring.secrets {
		if len(secrets) == 0 || isTargetKey(key) {
			continue
		}
		x[key] += change
		if x[key] == 0 {
			delete(x, key)
		}
	}
}

// SetNamespaceFilter limits fan-out deliveries to namespaces for which allowed is true; see Verifier.CanAccept. By
// default all are. allowed must be deterministic. SetNamespaceFilter may be called at any time.
func (s *Secrets) SetNamespaceFilter(allowed func(namespace string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.allowed, s.index = allowed, secretIndex{}
	for namespace, ring := range s.namespaces {
		if s.isAllowed(namespace) {
			s.index.count(ring, +1)
		}
	}
}

// isAllowed must be called with mu held.
func (s *Secrets) isAllowed(namespace string) bool { return s.allowed == nil || s.allowed(namespace) }

// setKeyringLocked replaces the keyring of a namespace; the zero value removes it. Only this method changes namespaces.
// It must be called with mu held.
func (s *Secrets) setKeyringLocked(namespace string, ring keyring) {
	if s.namespaces == nil {
		s.namespaces = map[string]keyring{}
	}
	if s.index == nil {
		s.index = secretIndex{}
	}
	if s.isAllowed(namespace) {
		s.index.count(s.namespaces[namespace], -1)
		s.index.count(ring, +1)
	}
	if ring.secrets == nil {
		delete(s.namespaces, namespace)
		return
	}
	s.namespaces[namespace] = ring
}

// hasSecretFor reports whether a type of sender has a secret, by default or in a namespace that is allowed.
func (s *Secrets) hasSecretFor(source string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.ContainsFunc(keysFor(source), func(key string) bool {
		return len(s.defaults.secrets[key]) > 0 || s.index[key] > 0
	})
}

// keysFor returns the keys that are used for a type of sender at every target.
func keysFor(source string) []string {
	sender, _ := payload.Lookup(source)
	switch own := payload.SecretKey(source); {
	case sender.OnlyOwnSecret():
		return []string{own}
	case len(sender.Signatures) == 0:
		return []string{own, tokenKey}
	default:
		return []string{own, hmacKey, tokenKey}
	}
}
