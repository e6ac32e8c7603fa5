// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"sync/atomic"

	"k8s.io/client-go/tools/cache"

	"postern.dev/postern/apis/postern"
)

// RecordHandler handles records. It must not change or keep them.
type RecordHandler interface {
	HandleRecord(record *postern.WebhookDelivery)
}

// RecordWatcher passes all stored deliveries to a RecordHandler and keeps none of them. Every replica runs one.
type RecordWatcher struct {
	reflector *cache.Reflector
	synced    atomic.Bool
}

// NewRecordWatcher returns a RecordWatcher for the deliveries that all lists and watches.
func NewRecordWatcher(all cache.ListerWatcher, handler RecordHandler) *RecordWatcher {
	w := &RecordWatcher{}
	w.reflector = cache.NewReflectorWithOptions(all, &postern.WebhookDelivery{},
		&handlerStore{handler, &w.synced}, cache.ReflectorOptions{Name: "history"})
	return w
}

// Start watches until ctx is done. It is a Runnable of controller-runtime's manager.
func (w *RecordWatcher) Start(ctx context.Context) error {
	w.reflector.RunWithContext(ctx)
	return nil
}

// NeedLeaderElection returns false, since every replica runs one.
func (w *RecordWatcher) NeedLeaderElection() bool { return false }

// HasSynced reports whether the handler was called for all deliveries of the initial list.
func (w *RecordWatcher) HasSynced() bool { return w.synced.Load() }

// handlerStore is a reflector's store that passes records to a handler and keeps none.
type handlerStore struct {
	handler RecordHandler
	synced  *atomic.Bool
}

// Add passes on a delivery.
func (s *handlerStore) Add(obj any) error {
	if record, ok := obj.(*postern.WebhookDelivery); ok {
		s.handler.HandleRecord(record)
	}
	return nil
}

// Update passes on a delivery again.
func (s *handlerStore) Update(obj any) error { return s.Add(obj) }

// Delete does nothing: targets keep what was written.
func (s *handlerStore) Delete(any) error { return nil }

// Replace passes on all deliveries.
func (s *handlerStore) Replace(all []any, _ string) error {
	for _, obj := range all {
		_ = s.Add(obj)
	}
	s.synced.Store(true)
	return nil
}

// Resync does nothing.
func (s *handlerStore) Resync() error { return nil }
