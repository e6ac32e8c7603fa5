// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import "maps"

// SetDefaults replaces the default secrets, which count in every namespace for the attempts that none of its own keys is
// for. The keys are those of a namespace's Kubernetes Secret, without those of single targets: a name says nothing without
// its namespace. It keeps no reference to data, and may be called at any time.
func (s *Secrets) SetDefaults(data map[string][]byte) {
	data = maps.Clone(data)
	maps.DeleteFunc(data, func(key string, _ []byte) bool { return isTargetKey(key) })
	ring := newKeyring(data)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.defaults = ring
}

// validFor returns the secrets that count for an attempt. A key of its namespace that is for such an attempt replaces the
// default ones even if it is empty, so that a namespace can close its door.
func (s *Secrets) validFor(a Attempt) validSecrets {
	own, defaults := s.keyrings(a.Namespace)
	return own.orDefaults(defaults, a)
}

// defaultsFor returns the default secrets that count for an attempt in a namespace without any of its own.
func (s *Secrets) defaultsFor(a Attempt) validSecrets {
	_, defaults := s.keyrings("")
	return defaults.forAttempt(a)
}

// namespaceSecretsFor returns the secrets that count for an attempt, and true, if its namespace has any say in it; else they are those
// of defaultsFor.
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
