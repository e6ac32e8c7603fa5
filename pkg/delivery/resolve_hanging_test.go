// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
)

// hangingTargets answer a look-up only after its context has ended.
type hangingTargets struct {
	Targets
	err error
}

func (h hangingTargets) Resolve(ctx context.Context, _ postern.TargetKey, _ bool) error {
	<-ctx.Done()
	return h.err
}

// An API server that does not answer must not delay the record of a delivery until its sender hangs up.
func TestHanging_LookupIsRecordedInTime(t *testing.T) {
	down := unavailable(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // the timeout of the API server
		defer cancel()
		p, began := newDefaultPipeline(), time.Now()
		p.Targets = hangingTargets{p.Targets, down}
		delivered, err := p.Deliver(ctx, toPlant(), release(), false)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); delivered.Status.Phase != postern.DeliveryPending || took != resolveTimeout ||
			ctx.Err() != nil {
			t.Errorf("%s after %s, want Pending after %s", delivered.Status.Phase, took, resolveTimeout)
		}
	})
}

// The API server's error may quote an admission webhook, whose text may have any length.
func TestHanging_LookupErrorIsBounded(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	p := newDefaultPipeline()
	p.resolveErr = fmt.Errorf("%w: %s", unavailable(t), long)
	delivered, err := p.Deliver(t.Context(), toPlant(), release(), false)
	if err != nil {
		t.Fatal(err)
	}
	if s := delivered.Status; s.Phase != "Pending" || len(s.Message) != maxTextBytes ||
		len(s.Conditions[1].Message) != maxTextBytes {
		t.Errorf("%s with a message of %d bytes", s.Phase, len(s.Message))
	}
	p.resolveErr = errors.New(long)
	if err := p.Resume(t.Context(), delivered, false); err != nil {
		t.Fatal(err)
	}
	if s := delivered.Status; s.Phase != "Failed" || len(s.Message) != maxTextBytes ||
		len(s.Targets[0].Message) != maxTextBytes {
		t.Errorf("%s with a message of %d bytes", s.Phase, len(s.Message))
	}
}

// Attempted takes a reason as the sign that the first attempt is over.
func TestAttempted_FalseForEventsOfPolicy(t *testing.T) {
	testBothWays(t, func(t *testing.T, arrange func(*pipeline)) {
		p := newDefaultPipeline()
		arrange(p)
		p.onMutate = func(d *postern.WebhookDelivery) error {
			d.Spec.Events = []postern.DeliveryEvent{{Source: "github", Ref: "v2.0.0"}}
			return nil
		}
		p.onRecord = func(d *postern.WebhookDelivery) error {
			if d.Status.Phase == postern.DeliveryPending && Attempted(d) ||
				d.Status.Phase == postern.DeliveryApplied && d.Status.Reason != target.ReasonRequested {
				t.Errorf("recorded as %s, %s: %s", d.Status.Phase, d.Status.Reason, d.Status.Message)
			}
			return nil
		}
		delivered, err := p.Deliver(t.Context(), toPlant(), ping(), false)
		if err != nil || delivered.Status.Reason != target.ReasonRequested {
			t.Errorf("answered %+v, %v", delivered, err)
		}
		p.Drain()
	})
}

// A target that hangs uses up its timeout before its outcome is stored.
func TestHanging_ResultIsStored(t *testing.T) {
	down := unavailable(t)
	hanging := func(p *pipeline) {
		p.writeErr = down
		p.onStep = func(ctx context.Context, step string) {
			if step == "write" {
				<-ctx.Done()
			} else if ctx.Err() != nil {
				t.Errorf("the context of the %s has expired", step)
			}
		}
	}
	t.Run("given up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, d := newDefaultPipeline(), toNamed(unfinished())
			hanging(p)
			if err := p.Resume(t.Context(), d, true); err != nil || d.Status.Phase != postern.DeliveryFailed {
				t.Errorf("%s, %v", d.Status.Phase, err)
			}
		})
	})
	t.Run("repeated", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := pipelineOn(&memoryRecords{})
			p.writeErr = errors.New("frozen")
			_, _ = p.Deliver(t.Context(), toPlant(), push("d-1", pushed), false)
			p.Drain()
			hanging(p)
			delivered, err := p.Deliver(t.Context(), toPlant(), push("d-1", pushed), false)
			if err != nil || delivered.Status.Phase != postern.DeliveryPending {
				t.Errorf("answered %+v, %v", delivered, err)
			}
			p.Drain()
		})
	})
}
