// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"context"
	"fmt"
	"runtime"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"postern.dev/postern/pkg/fairness"
)

// While other flows are active, a flow with endless work gets the processor time of its share divided by
// workRateDivisor, after it has used workBurst. The run queues of the processors, of etcd and of the network do not
// know flows: small work waits in them as long as large work.
const (
	workRateDivisor = 4
	workBurst       = 500 * time.Millisecond
)

// workTimeout bounds the wait for the processors. Senders time out after about ten seconds, including the work itself.
const workTimeout = 3 * time.Second

// Work schedules CPU-bound work fairly among flows: verifying, decoding, matching and planning writes, whose cost
// depends on the request and on the targets. It does not cover waiting for admission, targets or storage, nor the
// framework's decoding of objects. It is safe for concurrent use. Do not acquire a slot while holding one.
type Work struct {
	slots   *fairness.Slots
	timeout time.Duration
	notices *fairness.Notices
}

// NewWork returns a Work of which one flow may use sharePercent.
func NewWork(sharePercent int) *Work {
	// One more than the number of processors, so that another flow starts at once, but no more: etcd and networking go
	// through many goroutines, each of which would queue behind those that keep a processor busy.
	total := int64(runtime.GOMAXPROCS(0)) + 1
	pace := fairness.Pace{
		Rate:  float64(runtime.GOMAXPROCS(0)) * float64(sharePercent) / 100 / workRateDivisor,
		Burst: workBurst,
	}
	slots := fairness.NewPacedSlots(fairness.Share{Total: total, Percent: sharePercent}, pace)
	return &Work{slots, workTimeout, fairness.NewNotices()}
}

// Await waits for a slot until ctx ends. It is for accepted deliveries, which are retried if they get no slot.
func (w *Work) Await(ctx context.Context, flow fairness.Flow) (end func(), err error) {
	if end, err = w.slots.Acquire(ctx, flow, 1); err != nil {
		return nil, fmt.Errorf("the processors are busy with other work, of this namespace or of all: %w", err)
	}
	return end, nil
}

// ToWrite is Await for planning a write requested by senders of a namespace. Either all or none of them are anonymous.
func (w *Work) ToWrite(ctx context.Context, namespace string, anonymous bool) (end func(), err error) {
	return w.Await(ctx, fairness.Flow{Namespace: namespace, Anonymous: anonymous})
}

// Begin waits for a slot until the timeout or the end of ctx, then returns a 429.
func (w *Work) Begin(ctx context.Context, flow fairness.Flow) (end func(), err error) {
	waitCtx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	end, err = w.slots.Acquire(waitCtx, flow, 1)
	switch {
	case err == nil:
		return end, nil
	case ctx.Err() != nil:
		return nil, errRequestEnded()
	}
	CountRefused(causeNamespaceWork)
	w.notices.Refused(flow, causeNamespaceWork)
	return nil, apierrors.NewTooManyRequests("the processors are busy with other requests, of this namespace or of "+
		"all (--max-namespace-share-percent limits the share of one namespace): send it again later", RetryAfterSeconds)
}
