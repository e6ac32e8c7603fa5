// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
)

func TestAFailureAtTheTargetIsAnsweredByWhatHelps(t *testing.T) {
	down := unavailable(t)
	forbidden := apierrors.NewForbidden(postern.Resource("gatewaysyncs"), "plant", errors.New("Postern may not"))
	status := func(code int32, reason metav1.StatusReason, details *metav1.StatusDetails, message string) metav1.Status {
		return metav1.Status{Status: "Failure", Code: code, Reason: reason, Details: details, Message: message}
	}
	for name, test := range map[string]struct {
		err  error
		want metav1.Status
	}{
		"no such object": {notFound(), status(http.StatusNotFound, "NotFound", nil, notFound().Error())},
		"may pass": {down, status(http.StatusServiceUnavailable, "ServiceUnavailable", &metav1.StatusDetails{RetryAfterSeconds: 1},
			"the target could not be written just now, send the webhook again: "+down.Error())},
		// It is Postern that is not allowed, not the sender.
		"forbidden": {forbidden, status(http.StatusInternalServerError, "InternalError", nil, "the target can't be written: "+forbidden.Error())},
	} {
		t.Run(name, func(t *testing.T) {
			atResolve, atWrite := newDefaultPipeline(), newDefaultPipeline()
			atResolve.resolveErr, atWrite.writeErr = test.err, test.err
			for _, p := range []*pipeline{atResolve, atWrite} {
				_, err := p.Deliver(t.Context(), toPlant(), release(), false)
				if diff := cmp.Diff(test.want, answered(t, err)); diff != "" {
					t.Errorf("answer (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// Many senders hang up after some seconds, and a record that says Pending would be all that is left of what they sent.
func TestAClientThatLeavesStopsNothingOnceRecordingBegan(t *testing.T) {
	type key struct{}
	ctx, leave := context.WithCancel(context.WithValue(t.Context(), key{}, "kept"))
	p := newDefaultPipeline()
	p.observe = func(ctx context.Context, step string) {
		leave()
		if err := ctx.Err(); err != nil {
			t.Errorf("%s was stopped: %v", step, err)
		}
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > carryTimeout {
			t.Errorf("%s could go on for ever", step)
		}
		if ctx.Value(key{}) != "kept" {
			t.Errorf("%s knows nothing of the request", step)
		}
	}
	delivered, err := p.Deliver(ctx, toPlant(), release(), false)
	if err != nil {
		t.Fatal(err)
	}
	if delivered.Status.Phase != postern.DeliveryApplied {
		t.Errorf("phase %s, want Applied", delivered.Status.Phase)
	}
	if got := p.journal[len(p.journal)-1]; got != "update Applied" {
		t.Errorf("ended with %q, want the final status", got)
	}
}

func TestAClientThatLeavesStopsADryRun(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	p := newDefaultPipeline()
	p.observe = func(ctx context.Context, step string) {
		leave()
		if ctx.Err() == nil {
			t.Errorf("%s goes on for nobody", step)
		}
	}
	if _, err := p.Deliver(ctx, toPlant(), release(), true); err != nil {
		t.Fatal(err)
	}
}

func TestTheFinalStatusIsStoredThoughTheWriteUsedUpItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, start := newDefaultPipeline(), time.Now()
		p.observe = func(ctx context.Context, step string) {
			switch step {
			case "write":
				<-ctx.Done()
				p.writeErr = ctx.Err()
			case "update":
				if ctx.Err() != nil {
					t.Error("no time was left")
				}
			}
		}
		if _, err := p.Deliver(t.Context(), toPlant(), release(), false); err == nil {
			t.Error("a write that never ended is no failure")
		}
		if took := time.Since(start); took != carryTimeout {
			t.Errorf("it took %s, want %s", took, carryTimeout)
		}
		if got := p.journal[len(p.journal)-1]; got != "update Failed" {
			t.Errorf("ended with %q, want the final status", got)
		}
	})
}

// The target holds the ref and a record exists. Were this an error, the sender would deliver again.
func TestAFinalStatusThatCannotBeStoredIsNoFailure(t *testing.T) {
	for _, cause := range []error{
		errors.New("etcd is gone"),
		apierrors.NewNotFound(postern.Resource("webhookdeliveries"), "release"),
		apierrors.NewConflict(postern.Resource("webhookdeliveries"), "release", errors.New("changed")),
	} {
		t.Run(fmt.Sprintf("%T", cause), func(t *testing.T) {
			p := newDefaultPipeline()
			p.onUpdate = func(*postern.WebhookDelivery) error { return cause }
			delivered, err := p.Deliver(t.Context(), toPlant(), release(), false)
			if err != nil {
				t.Fatal(err)
			}
			if delivered.Name != "generic-x" || delivered.Status.Phase != postern.DeliveryApplied {
				t.Errorf("got %q in phase %s, want the record in phase Applied", delivered.Name, delivered.Status.Phase)
			}
		})
	}
}
