// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import "maps"

// SetDefaults replaces the default secrets, which apply in every namespace to attempts for which it has no key. The
// keys are the same as in a Kubernetes Secret, without those of single targets: their names are ambiguous without a
// namespace. It copies data, and may be called at any time.
func (s *Secrets) SetDefaults(data map[string][]byte) {
	data = maps.Clone(data)
	maps.DeleteFunc(data, func(key string, _ []byte) bool { return isTargetKey(key) })
	ring := newKeyring(data)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.defaults = ring
}

// validFor returns the secrets for an attempt. A key of the namespace for such an attempt replaces the default secrets
// even if it is empty, so that a namespace can disable them.
func (s *Secrets) validFor(a Attempt) validSecrets {
	own, defaults := s.keyrings(a.Namespace)
	return own.orDefaults(defaults, a)
}

// defaultsFor returns the default secrets for an attempt in a namespace without secrets.
func (s *Secrets) defaultsFor(a Attempt) validSecrets {
	_, defaults := s.keyrings("")
	return defaults.forAttempt(a)
}

// namespaceSecretsFor returns the secrets for an attempt, and true, if its namespace has a key that may apply to it.
// Otherwise use defaultsFor.
func (s *Secrets) namespaceSecretsFor(a Attempt) (valid validSecrets, own bool) {
	ring, defaults := s.keyrings(a.Namespace)
	if !ring.forAttempt(a).configured {
		return validSecrets{}, false
	}
	return ring.orDefaults(defaults, a), true
}

func (k keyring) orDefaults(defaults keyring, a Attempt) validSecrets {
	own := k.forAttempt(a)
	if own.applies {
		return own
	}
	valid := defaults.forAttempt(a)
	valid.configured = valid.configured || own.configured
	return valid
}
