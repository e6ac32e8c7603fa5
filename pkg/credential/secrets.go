// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// SecretName is the name of the one Kubernetes Secret that is read in each namespace.
const SecretName = "postern-webhook-secrets"

// Secrets are the webhook secrets of all namespaces, and the default ones. The zero value holds none and is ready for use;
// it must not be copied. It is safe for concurrent use, and an attempt always sees one whole version of a namespace's
// secrets and of the default ones.
type Secrets struct {
	mu         sync.RWMutex
	namespaces map[string]keyring
	defaults   keyring
	// index are of the namespaces that among allows, which are all if it is nil.
	index   secretIndex
	allowed func(namespace string) bool
}

// Set replaces the secrets of a namespace by the data of its Kubernetes Secret. It keeps no reference to data, and
// ignores keys that have no meaning here.
func (s *Secrets) Set(namespace string, data map[string][]byte) {
	s.setKeyring(namespace, newKeyring(data)) // parsed outside the lock: no attempt waits for that of another namespace
}

func (s *Secrets) setKeyring(namespace string, ring keyring) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setKeyringLocked(namespace, ring)
}

// Delete forgets the secrets of a namespace.
func (s *Secrets) Delete(namespace string) {
	s.setKeyring(namespace, keyring{})
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

// EventHandler feeds s from an informer of Kubernetes Secrets, and ignores those of another name than SecretName.
// Until the handler has synced, every namespace seems to have no secret: without Config.RequireSecret its doors are
// open. Serve only then.
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
		klog.InfoS("The last of the secrets under a key are not read: take out those that are no longer needed",
			"secret", klog.KObj(secret), "unread", ring.unread)
	}
}

// onDelete goes by the name alone, because a deletion that the watch missed is told by a tombstone with an old object.
func (s *Secrets) onDelete(obj any) {
	if name, err := cache.DeletionHandlingObjectToName(obj); err == nil && name.Name == SecretName {
		s.Delete(name.Namespace)
	}
}
