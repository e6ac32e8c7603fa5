// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"fmt"
	"runtime"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"postern.dev/postern/pkg/fairness"
)

// workTimeout is how long a request waits for its turn. Senders give up after about ten seconds, and what comes after the
// wait takes time too.
const workTimeout = 3 * time.Second

// Work gives each flow its turn of the processors: for verifying, decoding, matching and planning writes, whose cost depends
// on what a sender sends and on what targets hold. It does not bound what waits for others (admission, targets, storage), nor
// the decoding of objects by the framework. It is safe for concurrent use. Who has its turn must not wait for another one.
type Work struct {
	slots    *fairness.Slots
	patience time.Duration
	notices  *fairness.Notices
}

// NewWork returns a Work of which one flow may have that much.
func NewWork(sharePercent int) *Work {
	// One more than there are processors, so that another flow begins at once, and no more: what etcd and the network do for
	// all passes through many goroutines, each of which waits behind those that keep a processor busy.
	total := int64(runtime.GOMAXPROCS(0)) + 1
	return &Work{fairness.NewSlots(fairness.Share{Total: total, Percent: sharePercent}), workTimeout, fairness.NewNotices()}
}

// Await waits for the turn of a flow until ctx ends: for what was accepted before, and is tried again if its turn does not come.
func (w *Work) Await(ctx context.Context, flow fairness.Flow) (end func(), err error) {
	if end, err = w.slots.Acquire(ctx, flow, 1); err != nil {
		return nil, fmt.Errorf("too much else is being worked on, of this namespace or of all: %w", err)
	}
	return end, nil
}

// ToWrite is Await for planning a write that senders of a namespace asked for, all of whom are unauthenticated or not.
func (w *Work) ToWrite(ctx context.Context, namespace string, anonymous bool) (end func(), err error) {
	return w.Await(ctx, fairness.Flow{Namespace: namespace, Anonymous: anonymous})
}

// Begin waits for the turn of a flow, until the patience is over or ctx ends, and then returns an error that answers 429.
func (w *Work) Begin(ctx context.Context, flow fairness.Flow) (end func(), err error) {
	patient, cancel := context.WithTimeout(ctx, w.patience)
	defer cancel()
	end, err = w.slots.Acquire(patient, flow, 1)
	switch {
	case err == nil:
		return end, nil
	case ctx.Err() != nil:
		return nil, errClientLeft()
	}
	countRefused(causeNamespaceWork)
	w.notices.Refused(flow, causeNamespaceWork)
	return nil, apierrors.NewTooManyRequests("too much else is being worked on, of this namespace or of all "+
		"(--max-namespace-share-percent says how much of the processors one may take): send it again later", retryAfterSeconds)
}
