// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/validation"
)

// RecordIndex knows of every stored record to which namespace it belongs, how large and how old it is, and whether it is
// Pending; nothing else of it is held. It follows the storage, and so is behind it by milliseconds: what is recorded by
// then is bounded by the requests that are under way. It is safe for concurrent use.
type RecordIndex struct {
	records cache.ListerWatcher

	mu         sync.Mutex
	entries    map[types.NamespacedName]entry
	namespaces map[string]usage
	all        usage
}

// entry is what is known of a record.
type entry struct {
	types.NamespacedName
	uid             types.UID
	resourceVersion string
	created         time.Time
	received        time.Time
	usage
}

// usage is how many records there are, how many bytes of JSON they take, and the same of those that are Pending.
type usage struct {
	records, bytes, pending, pendingBytes int64
}

func (h *usage) add(other usage, sign int64) {
	h.records += sign * other.records
	h.bytes += sign * other.bytes
	h.pending += sign * other.pending
	h.pendingBytes += sign * other.pendingBytes
}

// NewRecordIndex returns a Ledger that knows of no record. Before Start, tell it what to Follow.
func NewRecordIndex() *RecordIndex {
	return &RecordIndex{entries: map[types.NamespacedName]entry{}, namespaces: map[string]usage{}}
}

// SetListerWatcher sets what lists and watches the records.
func (i *RecordIndex) SetListerWatcher(records cache.ListerWatcher) { i.records = records }

// NeedLeaderElection tells the manager that every replica, which takes deliveries, must know.
func (i *RecordIndex) NeedLeaderElection() bool { return false }

// Start follows the storage until ctx is done. It is a Runnable of controller-runtime's manager.
func (i *RecordIndex) Start(ctx context.Context) error {
	defer observeIndex(i)()
	cache.NewReflector(i.records, &postern.WebhookDelivery{}, indexStore{i}, 0).RunWithContext(ctx)
	return nil
}

// usageOf returns what a namespace holds, and what all together do.
func (i *RecordIndex) usageOf(namespace string) (one, all usage, namespaces int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.namespaces[namespace], i.all, len(i.namespaces)
}

// largest returns, of each number, the largest that one namespace has.
func (i *RecordIndex) largest() (largest usage) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, h := range i.namespaces {
		largest.records, largest.bytes = max(largest.records, h.records), max(largest.bytes, h.bytes)
		largest.pending, largest.pendingBytes = max(largest.pending, h.pending), max(largest.pendingBytes, h.pendingBytes)
	}
	return largest
}

// deletable returns the records that may be deleted, in any order.
func (i *RecordIndex) deletable() []entry {
	i.mu.Lock()
	defer i.mu.Unlock()
	deletable := make([]entry, 0, len(i.entries))
	for _, e := range i.entries {
		if e.pending == 0 {
			deletable = append(deletable, e)
		}
	}
	return deletable
}

// total returns what all namespaces hold together.
func (i *RecordIndex) total() usage {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.all
}

func (i *RecordIndex) set(e entry) {
	i.remove(e.NamespacedName)
	i.entries[e.NamespacedName] = e
	i.addUsage(e, 1)
}

func (i *RecordIndex) remove(name types.NamespacedName) {
	if e, found := i.entries[name]; found {
		delete(i.entries, name)
		i.addUsage(e, -1)
	}
}

func (i *RecordIndex) addUsage(e entry, sign int64) {
	i.all.add(e.usage, sign)
	h := i.namespaces[e.Namespace]
	if h.add(e.usage, sign); h.records == 0 {
		delete(i.namespaces, e.Namespace)
		return
	}
	i.namespaces[e.Namespace] = h
}

func entryOf(obj any) (entry, error) {
	d, ok := obj.(*postern.WebhookDelivery)
	if !ok {
		return entry{}, fmt.Errorf("got a %T where a WebhookDelivery was expected", obj)
	}
	bytes, err := validation.EncodedBytes(d)
	if err != nil {
		return entry{}, err
	}
	e := entry{
		NamespacedName: types.NamespacedName{Namespace: d.Namespace, Name: d.Name}, uid: d.UID, resourceVersion: d.ResourceVersion,
		created: d.CreationTimestamp.Time, received: receivedAt(d), usage: usage{records: 1, bytes: int64(bytes)},
	}
	if d.Status.Phase == postern.DeliveryPending {
		e.pending, e.pendingBytes = 1, e.bytes
	}
	return e, nil
}

// indexStore is a Ledger as a reflector writes it.
type indexStore struct{ *RecordIndex }

// Add notes a record.
func (s indexStore) Add(obj any) error { return s.Update(obj) }

// Update notes a record as it is now.
func (s indexStore) Update(obj any) error {
	e, err := entryOf(obj)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(e)
	return nil
}

// Delete forgets a record.
func (s indexStore) Delete(obj any) error {
	d, ok := obj.(*postern.WebhookDelivery)
	if !ok {
		return fmt.Errorf("got a %T where a WebhookDelivery was expected", obj)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(types.NamespacedName{Namespace: d.Namespace, Name: d.Name})
	return nil
}

// Replace notes these records and forgets all others.
func (s indexStore) Replace(objects []any, _ string) error {
	entries := make([]entry, 0, len(objects))
	for _, obj := range objects {
		e, err := entryOf(obj)
		if err != nil {
			return err
		}
		entries = append(entries, e)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries, s.namespaces, s.all = make(map[types.NamespacedName]entry, len(entries)), map[string]usage{}, usage{}
	for _, e := range entries {
		s.set(e)
	}
	return nil
}

// Resync has nothing to do.
func (s indexStore) Resync() error { return nil }
