// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/validation"
)

// RecordIndex keeps the namespace, size, age and phase of every stored record. It watches the storage and is some
// milliseconds behind it, so limits may be exceeded by the requests in flight. It is safe for concurrent use.
type RecordIndex struct {
	records cache.ListerWatcher
	handle  func(*postern.WebhookDelivery)
	synced  atomic.Bool

	mu         sync.Mutex
	entries    map[types.NamespacedName]entry
	namespaces map[string]usage
	all        usage
}

// entry is the index entry of a record.
type entry struct {
	types.NamespacedName
	uid      types.UID
	created  time.Time
	received time.Time
	usage
}

// usage is the number of records and their bytes of JSON, and the same for the unfinished ones, which are pending or
// held and are not deleted to make room. held is how many of these are held.
type usage struct {
	records, bytes, unfinished, unfinishedBytes, held int64
}

func (u *usage) add(other usage, sign int64) {
	u.records += sign * other.records
	u.bytes += sign * other.bytes
	u.unfinished += sign * other.unfinished
	u.unfinishedBytes += sign * other.unfinishedBytes
	u.held += sign * other.held
}

// NewRecordIndex returns an empty RecordIndex. Call SetSource before Start.
func NewRecordIndex() *RecordIndex {
	return &RecordIndex{
		handle:  func(*postern.WebhookDelivery) {},
		entries: map[types.NamespacedName]entry{}, namespaces: map[string]usage{},
	}
}

// SetSource sets the source of the records, and a function that is called with each new and changed one. It must not
// change or keep them.
func (i *RecordIndex) SetSource(records cache.ListerWatcher, handle func(*postern.WebhookDelivery)) {
	i.records, i.handle = records, handle
}

// HasSynced reports whether all records of the initial list are in the index and were handled.
func (i *RecordIndex) HasSynced() bool { return i.synced.Load() }

// NeedLeaderElection returns false, since every replica accepts deliveries and needs an index.
func (i *RecordIndex) NeedLeaderElection() bool { return false }

// Start watches the storage until ctx is done. It is a Runnable of controller-runtime's manager.
func (i *RecordIndex) Start(ctx context.Context) error {
	defer observeIndex(i)()
	cache.NewReflector(i.records, &postern.WebhookDelivery{}, indexStore{i}, 0).RunWithContext(ctx)
	return nil
}

// usageOf returns the usage of one namespace and of all together, and the number of namespaces.
func (i *RecordIndex) usageOf(namespace string) (one, all usage, namespaces int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.namespaces[namespace], i.all, len(i.namespaces)
}

// largest returns, for each number, the maximum over the namespaces.
func (i *RecordIndex) largest() (largest usage) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, u := range i.namespaces {
		largest.records, largest.bytes = max(largest.records, u.records), max(largest.bytes, u.bytes)
		largest.unfinished = max(largest.unfinished, u.unfinished)
		largest.unfinishedBytes = max(largest.unfinishedBytes, u.unfinishedBytes)
		largest.held = max(largest.held, u.held)
	}
	return largest
}

// deletable returns the records that are finished, in any order.
func (i *RecordIndex) deletable() []entry {
	i.mu.Lock()
	defer i.mu.Unlock()
	deletable := make([]entry, 0, len(i.entries))
	for _, e := range i.entries {
		if e.unfinished == 0 {
			deletable = append(deletable, e)
		}
	}
	return deletable
}

// total returns the usage of all namespaces together.
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
	u := i.namespaces[e.Namespace]
	if u.add(e.usage, sign); u.records == 0 {
		delete(i.namespaces, e.Namespace)
		return
	}
	i.namespaces[e.Namespace] = u
}

// read calls the handler with a record and returns its entry.
func (i *RecordIndex) read(obj any) (entry, error) {
	d, ok := obj.(*postern.WebhookDelivery)
	if !ok {
		return entry{}, fmt.Errorf("got a %T where a WebhookDelivery was expected", obj)
	}
	i.handle(d)
	bytes, err := validation.EncodedBytes(d)
	if err != nil {
		return entry{}, err
	}
	e := entry{
		NamespacedName: types.NamespacedName{Namespace: d.Namespace, Name: d.Name},
		uid:            d.UID,
		created:        d.CreationTimestamp.Time, received: receivedAt(d),
		usage: usage{records: 1, bytes: int64(bytes)},
	}
	switch d.Status.Phase {
	case postern.DeliveryHeld:
		e.unfinished, e.unfinishedBytes, e.held = 1, e.bytes, 1
	case postern.DeliveryPending:
		e.unfinished, e.unfinishedBytes = 1, e.bytes
	case postern.DeliveryApplied, postern.DeliverySuperseded, postern.DeliveryIgnored, postern.DeliveryFailed:
	}
	return e, nil
}

// indexStore makes a RecordIndex the cache.ReflectorStore of a reflector.
type indexStore struct{ *RecordIndex }

// Add adds a record to the index.
func (s indexStore) Add(obj any) error { return s.Update(obj) }

// Update updates a record in the index.
func (s indexStore) Update(obj any) error {
	e, err := s.read(obj)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(e)
	return nil
}

// Delete removes a record from the index.
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

// Replace replaces all records in the index.
func (s indexStore) Replace(objects []any, _ string) error {
	entries := make([]entry, 0, len(objects))
	for _, obj := range objects {
		e, err := s.read(obj)
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
	s.synced.Store(true)
	return nil
}

// Resync does nothing.
func (s indexStore) Resync() error { return nil }
