// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"sync/atomic"

	"k8s.io/client-go/tools/cache"

	"postern.dev/postern/apis/postern"
)

// Learner takes note of what records tell. It must not change them, or keep them.
type Learner interface {
	Learn(record *postern.WebhookDelivery)
}

// History tells a Learner of all deliveries that are stored, by whichever replica, and keeps none of them. Every replica
// runs one.
type History struct {
	reflector *cache.Reflector
	synced    atomic.Bool
}

// NewHistory returns the history of the deliveries that all lists and watches.
func NewHistory(all cache.ListerWatcher, learner Learner) *History {
	h := &History{}
	h.reflector = cache.NewReflectorWithOptions(all, &postern.WebhookDelivery{}, &pupil{learner, &h.synced}, cache.ReflectorOptions{Name: "history"})
	return h
}

// Start tells of deliveries until ctx is done. It is a Runnable of controller-runtime's manager.
func (h *History) Start(ctx context.Context) error {
	h.reflector.RunWithContext(ctx)
	return nil
}

// NeedLeaderElection tells the manager that every replica runs one.
func (h *History) NeedLeaderElection() bool { return false }

// HasSynced reports whether the Learner was told of all that was stored at first.
func (h *History) HasSynced() bool { return h.synced.Load() }

// pupil is a store of a reflector that keeps nothing.
type pupil struct {
	learner Learner
	synced  *atomic.Bool
}

// Add tells of a delivery.
func (p *pupil) Add(obj any) error {
	if record, ok := obj.(*postern.WebhookDelivery); ok {
		p.learner.Learn(record)
	}
	return nil
}

// Update tells of a delivery again.
func (p *pupil) Update(obj any) error { return p.Add(obj) }

// Delete forgets nothing: what was written stays written.
func (p *pupil) Delete(any) error { return nil }

// Replace tells of all deliveries.
func (p *pupil) Replace(all []any, _ string) error {
	for _, obj := range all {
		_ = p.Add(obj)
	}
	p.synced.Store(true)
	return nil
}

// Resync has nothing to do.
func (p *pupil) Resync() error { return nil }
