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

// lease is the lease in the API server. The zero value means that it does not exist.
type lease struct {
	mu      sync.Mutex
	record  resourcelock.LeaderElectionRecord
	version int // 0 if it does not exist
}

// lock is the lease as seen by one replica.
type lock struct {
	resourcelock.Interface
	lease    *lease
	identity string
	seen     int // the version that the replica has read last
	cut      bool
}

// cutOff sets whether the replica can reach the API server.
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
