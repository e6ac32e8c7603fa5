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

// Ledger knows of every stored record to which namespace it belongs, how large and how old it is, and whether it is
// Pending; nothing else of it is held. It follows the storage, and so is behind it by milliseconds: what is recorded by
// then is bounded by the requests that are under way. It is safe for concurrent use.
type Ledger struct {
	records cache.ListerWatcher

	mu         sync.Mutex
	entries    map[types.NamespacedName]entry
	namespaces map[string]holding
	all        holding
}

// entry is what is known of a record.
type entry struct {
	types.NamespacedName
	uid             types.UID
	resourceVersion string
	created         time.Time
	received        time.Time
	holding
}

// holding is how many records there are, how many bytes of JSON they take, and the same of those that are Pending.
type holding struct {
	records, bytes, pending, pendingBytes int64
}

func (h *holding) add(other holding, sign int64) {
	h.records += sign * other.records
	h.bytes += sign * other.bytes
	h.pending += sign * other.pending
	h.pendingBytes += sign * other.pendingBytes
}

// NewLedger returns a Ledger that knows of no record. Before Start, tell it what to Follow.
func NewLedger() *Ledger {
	return &Ledger{entries: map[types.NamespacedName]entry{}, namespaces: map[string]holding{}}
}

// Follow sets what lists and watches the records.
func (l *Ledger) Follow(records cache.ListerWatcher) { l.records = records }

// NeedLeaderElection tells the manager that every replica, which takes deliveries, must know.
func (l *Ledger) NeedLeaderElection() bool { return false }

// Start follows the storage until ctx is done. It is a Runnable of controller-runtime's manager.
func (l *Ledger) Start(ctx context.Context) error {
	defer account(l)()
	cache.NewReflector(l.records, &postern.WebhookDelivery{}, book{l}, 0).RunWithContext(ctx)
	return nil
}

// of returns what a namespace holds, and what all together do.
func (l *Ledger) of(namespace string) (one, all holding, namespaces int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.namespaces[namespace], l.all, len(l.namespaces)
}

// largest returns, of each number, the largest that one namespace has.
func (l *Ledger) largest() (largest holding) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.namespaces {
		largest.records, largest.bytes = max(largest.records, h.records), max(largest.bytes, h.bytes)
		largest.pending, largest.pendingBytes = max(largest.pending, h.pending), max(largest.pendingBytes, h.pendingBytes)
	}
	return largest
}

// finished returns the records that may be deleted, in any order.
func (l *Ledger) finished() []entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	finished := make([]entry, 0, len(l.entries))
	for _, e := range l.entries {
		if e.pending == 0 {
			finished = append(finished, e)
		}
	}
	return finished
}

// total returns what all namespaces hold together.
func (l *Ledger) total() holding {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all
}

func (l *Ledger) put(e entry) {
	l.drop(e.NamespacedName)
	l.entries[e.NamespacedName] = e
	l.count(e, 1)
}

func (l *Ledger) drop(name types.NamespacedName) {
	if e, found := l.entries[name]; found {
		delete(l.entries, name)
		l.count(e, -1)
	}
}

func (l *Ledger) count(e entry, sign int64) {
	l.all.add(e.holding, sign)
	h := l.namespaces[e.Namespace]
	if h.add(e.holding, sign); h.records == 0 {
		delete(l.namespaces, e.Namespace)
		return
	}
	l.namespaces[e.Namespace] = h
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
		created: d.CreationTimestamp.Time, received: receivedAt(d), holding: holding{records: 1, bytes: int64(bytes)},
	}
	if d.Status.Phase == postern.DeliveryPending {
		e.pending, e.pendingBytes = 1, e.bytes
	}
	return e, nil
}

// book is a Ledger as a reflector writes it.
type book struct{ *Ledger }

// Add notes a record.
func (b book) Add(obj any) error { return b.Update(obj) }

// Update notes a record as it is now.
func (b book) Update(obj any) error {
	e, err := entryOf(obj)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.put(e)
	return nil
}

// Delete forgets a record.
func (b book) Delete(obj any) error {
	d, ok := obj.(*postern.WebhookDelivery)
	if !ok {
		return fmt.Errorf("got a %T where a WebhookDelivery was expected", obj)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(types.NamespacedName{Namespace: d.Namespace, Name: d.Name})
	return nil
}

// Replace notes these records and forgets all others.
func (b book) Replace(objects []any, _ string) error {
	entries := make([]entry, 0, len(objects))
	for _, obj := range objects {
		e, err := entryOf(obj)
		if err != nil {
			return err
		}
		entries = append(entries, e)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entries, b.namespaces, b.all = make(map[types.NamespacedName]entry, len(entries)), map[string]holding{}, holding{}
	for _, e := range entries {
		b.put(e)
	}
	return nil
}

// Resync has nothing to do.
func (b book) Resync() error { return nil }
