// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// EventHandler feeds s from an informer of Kubernetes Secrets, and ignores those of another name than SecretName.
// Until the handler has synced, every namespace seems to have no secret: without Config.RequireSecret its doors are
// open. Serve only then.
func (s *Secrets) EventHandler() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    s.observe,
		UpdateFunc: func(_, updated any) { s.observe(updated) },
		DeleteFunc: s.forget,
	}
}

func (s *Secrets) observe(obj any) {
	secret, ok := obj.(*corev1.Secret)
	if !ok || secret.Name != SecretName {
		return
	}
	ring := newKeyring(secret.Data)
	s.put(secret.Namespace, ring)
	if len(ring.unread) > 0 {
		klog.InfoS("The last of the secrets under a key are not read: take out those that are no longer needed",
			"secret", klog.KObj(secret), "unread", ring.unread)
	}
}

// forget goes by the name alone, because a deletion that the watch missed is told by a tombstone with an old object.
func (s *Secrets) forget(obj any) {
	if name, err := cache.DeletionHandlingObjectToName(obj); err == nil && name.Name == SecretName {
		s.Delete(name.Namespace)
	}
}
