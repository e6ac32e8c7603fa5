// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import "slices"

// secretIndex counts, for each key that is not a single target's, the namespaces in which it holds a secret. A key that none
// has is not in it.
type secretIndex map[string]int

// count adds the keys of one namespace once more, or, if change is -1, once less.
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

// SetNamespaceFilter says in which namespaces a sender can be accepted that names none; see Verifier.CanAccept. Until then it is all.
// allowed must always answer the same. It may be called at any time.
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

// isAllowed is called with mu held.
func (s *Secrets) isAllowed(namespace string) bool { return s.allowed == nil || s.allowed(namespace) }

// setKeyringLocked puts one keyring of a namespace, of which the zero value is that of a namespace without any, in the place of
// another. It is called with mu held, and is the only thing that changes namespaces.
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

// hasSecretFor reports whether there is a secret for a type of sender, by default or in a namespace that SetNamespaceFilter allows.
func (s *Secrets) hasSecretFor(source string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.ContainsFunc(keysFor(source), func(key string) bool {
		return len(s.defaults.secrets[key]) > 0 || s.index[key] > 0
	})
}

// keysFor returns the keys of those that count for a type of sender at any target.
func keysFor(source string) []string {
	if hasOnlyOwnKey(source) {
		return []string{sourceKey(source)}
	}
	if !signs(source) {
		return []string{sourceKey(source), tokenKey}
	}
	return []string{sourceKey(source), hmacKey, tokenKey}
}
