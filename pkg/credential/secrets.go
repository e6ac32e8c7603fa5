// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import "sync"

// SecretName is the name of the one Kubernetes Secret that is read in each namespace.
const SecretName = "postern-webhook-secrets"

// Secrets are the webhook secrets of all namespaces, and the default ones. The zero value holds none and is ready for use;
// it must not be copied. It is safe for concurrent use, and an attempt always sees one whole version of a namespace's
// secrets and of the default ones.
type Secrets struct {
	mu         sync.RWMutex
	namespaces map[string]keyring
	defaults   keyring
	// holders are of the namespaces that among allows, which are all if it is nil.
	holders holders
	among   func(namespace string) bool
}

// Set replaces the secrets of a namespace by the data of its Kubernetes Secret. It keeps no reference to data, and
// ignores keys that have no meaning here.
func (s *Secrets) Set(namespace string, data map[string][]byte) {
	s.put(namespace, newKeyring(data)) // parsed outside the lock: no attempt waits for that of another namespace
}

func (s *Secrets) put(namespace string, ring keyring) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replace(namespace, ring)
}

// Delete forgets the secrets of a namespace.
func (s *Secrets) Delete(namespace string) {
	s.put(namespace, keyring{})
}

// HasOwnKey reports whether a target has a key of its own, and so takes no other secret.
func (s *Secrets) HasOwnKey(namespace string, t *Target) bool {
	return s.keyring(namespace).hasOwnKey(*t)
}

func (s *Secrets) keyring(namespace string) keyring {
	own, _ := s.keyrings(namespace)
	return own
}

// keyrings returns the secrets of a namespace, and the default ones.
func (s *Secrets) keyrings(namespace string) (own, defaults keyring) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.namespaces[namespace], s.defaults
}
