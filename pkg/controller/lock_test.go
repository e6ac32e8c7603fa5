// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"encoding/json"
	"errors"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

var leases = schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}

// lease is what the API server has. The zero value is that there is none.
type lease struct {
	mu      sync.Mutex
	record  resourcelock.LeaderElectionRecord
	version int // 0 is that there is none
}

// lock is the lease as one replica sees it.
type lock struct {
	resourcelock.Interface
	lease    *lease
	identity string
	seen     int // the version that was last seen
	cut      bool
}

// cutOff makes the replica unable to reach the API server, or able again.
func (l *lock) cutOff(cut bool) {
	l.lease.mu.Lock()
	defer l.lease.mu.Unlock()
	l.cut = cut
}

func (l *lock) Get(context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	l.lease.mu.Lock()
	defer l.lease.mu.Unlock()
	switch {
	case l.cut:
		return nil, nil, errors.New("no route to host")
	case l.lease.version == 0:
		return nil, nil, apierrors.NewNotFound(leases, "postern")
	}
	l.seen = l.lease.version
	record := l.lease.record
	raw, err := json.Marshal(record)
	return &record, raw, err
}

func (l *lock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.store(ctx, record, 0)
}

func (l *lock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.store(ctx, record, l.seen)
}

func (l *lock) store(ctx context.Context, record resourcelock.LeaderElectionRecord, over int) error {
	l.lease.mu.Lock()
	defer l.lease.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case l.cut:
		return errors.New("no route to host")
	case l.lease.version != over:
		return apierrors.NewConflict(leases, "postern", errors.New("changed"))
	}
	l.lease.record = record
	l.lease.version++
	l.seen = l.lease.version
	return nil
}

func (l *lock) RecordEvent(string) {}
func (l *lock) Identity() string   { return l.identity }
func (l *lock) Describe() string   { return "postern" }
