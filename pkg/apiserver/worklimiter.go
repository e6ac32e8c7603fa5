// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"runtime"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"postern.dev/postern/pkg/fairness"
)

const (
	// workTimeout is how long a delivery waits for its turn. Senders give up after about ten seconds, and what comes
	// after the wait takes time too.
	workTimeout = 3 * time.Second
)

// Work gives each flow its turn of the processors: for verifying, decoding, matching and planning writes, whose cost depends
// on what a sender sends and on what targets hold. It does not bound what waits for others (admission, targets, storage), nor
// the decoding of objects by the framework. It is safe for concurrent use. Who has its turn must not wait for another one.
type Work struct {
	slots    *fairness.Slots
	patience time.Duration
}

// NewWork returns a Work of which one flow may have that much.
func NewWork(sharePercent int) *Work {
	// One more than there are processors, so that another flow begins at once, and no more: what etcd and the network do for
	// all passes through many goroutines, each of which waits behind those that keep a processor busy.
	total := int64(runtime.GOMAXPROCS(0)) + 1
	return &Work{fairness.NewSlots(fairness.Share{Total: total, Percent: sharePercent}), workTimeout}
}

// ToWrite waits for the turn of a namespace to plan a write, which is tried again if that does not come.
func (w *Work) ToWrite(ctx context.Context, namespace string) (end func(), err error) {
	patient, cancel := context.WithTimeout(ctx, w.patience)
	defer cancel()
	return w.slots.Acquire(patient, fairness.Flow{Namespace: namespace}, 1)
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
	return nil, apierrors.NewTooManyRequests("too much else is being worked on, of this namespace or of all "+
		"(--max-namespace-share-percent says how much of the processors one may take): send it again later", retryAfterSeconds)
}
