// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"maps"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"postern.dev/postern/pkg/payload"
)

// SecretName is the name of the Kubernetes Secret that is read in each namespace.
const SecretName = "postern-webhook-secrets"

// Secrets are the webhook secrets of all namespaces, and the default secrets. The zero value is empty and ready for
// use; it must not be copied. It is safe for concurrent use: an attempt sees one consistent version of a namespace's
// secrets and of the default secrets.
type Secrets struct {
	mu         sync.RWMutex
	namespaces map[string]keyring
	defaults   keyring
	// index covers the namespaces for which allowed is true, or all if it is nil.
	index   secretIndex
	allowed func(namespace string) bool
	// ParseIssuers reads the issuers of OIDC tokens; nil reads none. It must be set before first use.
	ParseIssuers IssuerParser
}

// Set replaces the secrets of a namespace by the data of its Kubernetes Secret. It copies data, and ignores unknown
// keys.
func (s *Secrets) Set(namespace string, data map[string][]byte) {
	// Parse outside the lock, so that attempts do not wait.
	s.setKeyring(namespace, newKeyring(namespace, data, s.ParseIssuers))
}

func (s *Secrets) setKeyring(namespace string, ring keyring) {
	s.mu.Lock()
	old := s.namespaces[namespace]
	s.setKeyringLocked(namespace, ring)
	s.mu.Unlock()
	old.close() // after the new issuers began, so that they take over keys that both use
}

// Delete removes the secrets of a namespace.
func (s *Secrets) Delete(namespace string) {
	s.setKeyring(namespace, keyring{})
}

// HasOwnKey reports whether a target has a key of its own, and so accepts no other secret.
func (s *Secrets) HasOwnKey(namespace string, t *Target) bool {
	return s.keyring(namespace).hasOwnKey(*t)
}

func (s *Secrets) keyring(namespace string) keyring {
	own, _ := s.keyrings(namespace)
	return own
}

func (s *Secrets) keyrings(namespace string) (own, defaults keyring) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.namespaces[namespace], s.defaults
}

// EventHandler updates s from an informer of Kubernetes Secrets, and ignores Secrets not named SecretName. Do not serve
// before the handler has synced: until then no namespace has a secret, and without Config.RequireSecret deliveries
// would be accepted unauthenticated.
func (s *Secrets) EventHandler() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    s.onUpdate,
		UpdateFunc: func(_, updated any) { s.onUpdate(updated) },
		DeleteFunc: s.onDelete,
	}
}

func (s *Secrets) onUpdate(obj any) {
	secret, ok := obj.(*corev1.Secret)
	if !ok || secret.Name != SecretName {
		return
	}
	ring := newKeyring(secret.Namespace, secret.Data, s.ParseIssuers)
	s.setKeyring(secret.Namespace, ring)
	for key, problem := range ring.problems {
		klog.InfoS("A key of a Secret can't be used, OIDC tokens are rejected", "secret", klog.KObj(secret), "key", key,
			"err", problem)
	}
	if len(ring.unread) > 0 {
		klog.InfoS("Too many secrets under a key, the last ones are ignored: remove those no longer needed",
			"secret", klog.KObj(secret), "unread", ring.unread)
	}
}

// onDelete uses only the name: if the watch missed the deletion, obj is a tombstone with an outdated object.
func (s *Secrets) onDelete(obj any) {
	if name, err := cache.DeletionHandlingObjectToName(obj); err == nil && name.Name == SecretName {
		s.Delete(name.Namespace)
	}
}

// SetDefaults replaces the default secrets, which apply in every namespace to attempts for which it has no key. The
// keys are the same as in a Kubernetes Secret, without those of single targets: their names are ambiguous without a
// namespace. It copies data, and may be called at any time.
func (s *Secrets) SetDefaults(data map[string][]byte) {
	data = maps.Clone(data)
	maps.DeleteFunc(data, func(key string, _ []byte) bool { return isTargetKey(key) })
	ring := newKeyring("", data, nil)
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
	valid.token = slices.Concat(valid.token, own.token) // of senders that are not known yet
	valid.issuers = own.issuers
	valid.configured = valid.configured || own.configured
	return valid
}

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
	if issuers := ring.issuers[oidcKey]; issuers != nil && issuers.Len() > 0 {
		x[oidcKey] += change
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
	return s.index[oidcKey] > 0 || slices.ContainsFunc(keysFor(source), func(key string) bool {
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
