// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"sync/atomic"

	"k8s.io/client-go/tools/cache"

	"postern.dev/postern/apis/postern"
)

// RecordHandler takes note of what records tell. It must not change them, or keep them.
type RecordHandler interface {
	HandleRecord(record *postern.WebhookDelivery)
}

// RecordWatcher tells a Learner of all deliveries that are stored, by whichever replica, and keeps none of them. Every replica
// runs one.
type RecordWatcher struct {
	reflector *cache.Reflector
	synced    atomic.Bool
}

// NewRecordWatcher returns the history of the deliveries that all lists and watches.
func NewRecordWatcher(all cache.ListerWatcher, handler RecordHandler) *RecordWatcher {
	h := &RecordWatcher{}
	h.reflector = cache.NewReflectorWithOptions(all, &postern.WebhookDelivery{}, &handlerStore{handler, &h.synced}, cache.ReflectorOptions{Name: "history"})
	return h
}

// Start tells of deliveries until ctx is done. It is a Runnable of controller-runtime's manager.
func (w *RecordWatcher) Start(ctx context.Context) error {
	w.reflector.RunWithContext(ctx)
	return nil
}

// NeedLeaderElection tells the manager that every replica runs one.
func (w *RecordWatcher) NeedLeaderElection() bool { return false }

// HasSynced reports whether the Learner was told of all that was stored at first.
func (w *RecordWatcher) HasSynced() bool { return w.synced.Load() }

// handlerStore is a store of a reflector that keeps nothing.
type handlerStore struct {
	handler RecordHandler
	synced  *atomic.Bool
}

// Add tells of a delivery.
func (s *handlerStore) Add(obj any) error {
	if record, ok := obj.(*postern.WebhookDelivery); ok {
		s.handler.HandleRecord(record)
	}
	return nil
}

// Update tells of a delivery again.
func (s *handlerStore) Update(obj any) error { return s.Add(obj) }

// Delete forgets nothing: what was written stays written.
func (s *handlerStore) Delete(any) error { return nil }

// Replace tells of all deliveries.
func (s *handlerStore) Replace(all []any, _ string) error {
	for _, obj := range all {
		_ = s.Add(obj)
	}
	s.synced.Store(true)
	return nil
}

// Resync has nothing to do.
func (s *handlerStore) Resync() error { return nil }
