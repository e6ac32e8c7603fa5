// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import "slices"

// holders counts, for each key that is not a single target's, the namespaces in which it holds a secret. A key that none
// has is not in it.
type holders map[string]int

// count adds the keys of one namespace once more, or, if change is -1, once less.
func (h holders) count(ring keyring, change int) {
	for key, secrets := range ring.secrets {
		if len(secrets) == 0 || isTargetKey(key) {
			continue
		}
		h[key] += change
		if h[key] == 0 {
			delete(h, key)
		}
	}
}

// SetAmong says in which namespaces a sender can be accepted that names none; see Verifier.CanProve. Until then it is all.
// allowed must always answer the same. It may be called at any time.
func (s *Secrets) SetAmong(allowed func(namespace string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.among, s.holders = allowed, holders{}
	for namespace, ring := range s.namespaces {
		if s.isAmong(namespace) {
			s.holders.count(ring, +1)
		}
	}
}

// isAmong is called with mu held.
func (s *Secrets) isAmong(namespace string) bool { return s.among == nil || s.among(namespace) }

// replace puts one keyring of a namespace, of which the zero value is that of a namespace without any, in the place of
// another. It is called with mu held, and is the only thing that changes namespaces.
func (s *Secrets) replace(namespace string, ring keyring) {
	if s.namespaces == nil {
		s.namespaces = map[string]keyring{}
	}
	if s.holders == nil {
		s.holders = holders{}
	}
	if s.isAmong(namespace) {
		s.holders.count(s.namespaces[namespace], -1)
		s.holders.count(ring, +1)
	}
	if ring.secrets == nil {
		delete(s.namespaces, namespace)
		return
	}
	s.namespaces[namespace] = ring
}

// holdAny reports whether there is a secret for a type of sender, by default or in a namespace that SetAmong allows.
func (s *Secrets) holdAny(source string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.ContainsFunc(keysOf(source), func(key string) bool {
		return len(s.defaults.secrets[key]) > 0 || s.holders[key] > 0
	})
}

// keysOf returns the keys of those that count for a type of sender at any target.
func keysOf(source string) []string {
	if hasOnlyOwnKey(source) {
		return []string{sourceKey(source)}
	}
	if !signs(source) {
		return []string{sourceKey(source), tokenKey}
	}
	return []string{sourceKey(source), hmacKey, tokenKey}
}
