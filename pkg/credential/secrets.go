// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
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
}

// Set replaces the secrets of a namespace by the data of its Kubernetes Secret. It copies data, and ignores unknown
// keys.
func (s *Secrets) Set(namespace string, data map[string][]byte) {
	s.setKeyring(namespace, newKeyring(data)) // parse outside the lock, so that attempts do not wait
}

func (s *Secrets) setKeyring(namespace string, ring keyring) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setKeyringLocked(namespace, ring)
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
	ring := newKeyring(secret.Data)
	s.setKeyring(secret.Namespace, ring)
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
