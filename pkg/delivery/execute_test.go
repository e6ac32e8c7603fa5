// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
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
		err    error
		dryRun bool
		want   metav1.Status
	}{
		"no such object": {notFound(), false, status(http.StatusNotFound, "NotFound", nil, notFound().Error())},
		// A dry run leaves no record that could be taken up again.
		"may pass, dry run": {down, true, status(http.StatusServiceUnavailable, "ServiceUnavailable", &metav1.StatusDetails{RetryAfterSeconds: 1},
			"the target could not be written just now, send the webhook again: "+down.Error())},
		// It is Postern that is not allowed, not the sender.
		"forbidden": {forbidden, false, status(http.StatusInternalServerError, "InternalError", nil, "the target can't be written: "+forbidden.Error())},
	} {
		t.Run(name, func(t *testing.T) {
			atResolve, atWrite := newDefaultPipeline(), newDefaultPipeline()
			atResolve.resolveErr, atWrite.writeErr = test.err, test.err
			for _, p := range []*pipeline{atResolve, atWrite} {
				_, err := p.Deliver(t.Context(), toPlant(), release(), test.dryRun)
				if diff := cmp.Diff(test.want, answered(t, err)); diff != "" {
					t.Errorf("answer (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// The record is durable, so the sender need not send it again: the write is tried again from here.
func TestWhatMayPassIsAnsweredAsPendingAndNoError(t *testing.T) {
	down := unavailable(t)
	for name, test := range map[string]struct {
		arrange func(*pipeline)
		journal []string
	}{
		"at the write": {
			func(p *pipeline) { p.writeErr = down },
			[]string{"mutate", "validate", "resolve " + plant, "record Pending", "write " + plant + " v2.0.0", "update Pending"},
		},
		"before": {
			func(p *pipeline) { p.resolveErr = down },
			[]string{"mutate", "validate", "resolve " + plant, "record Pending"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newDefaultPipeline()
			test.arrange(p)
			delivered, err := p.Deliver(t.Context(), toPlant(), release(), false)
			if err != nil {
				t.Fatal(err)
			}
			if s := delivered.Status; s.Phase != postern.DeliveryPending || s.Reason != ReasonTargetUnavailable || s.Message != down.Error() {
				t.Errorf("answered %s, %s, %q", s.Phase, s.Reason, s.Message)
			}
			if !Attempted(delivered) {
				t.Error("it would be left alone for a while, though nobody has it in hand")
			}
			if diff := cmp.Diff(test.journal, p.told()); diff != "" {
				t.Errorf("journal (-want +got):\n%s", diff)
			}
		})
	}
}

// Without a record nothing is promised. What was written stays so, which sending it again finds.
func TestWhatCannotBeRecordedIsToBeSentAgainThoughItWasWritten(t *testing.T) {
	for name, cause := range map[string]error{
		"no storage":        errors.New("etcd is gone"),
		"no storage, by it": apierrors.NewInternalError(errors.New("etcd is gone")),
		"too slow":          apierrors.NewTimeoutError("etcd is slow", 7),
	} {
		t.Run(name, func(t *testing.T) {
			p := newDefaultPipeline()
			p.onRecord = func(*postern.WebhookDelivery) error { return cause }
			delivered, err := p.Deliver(t.Context(), toPlant(), release(), false)
			want := metav1.Status{
				Status: "Failure", Code: http.StatusServiceUnavailable, Reason: "ServiceUnavailable", Details: &metav1.StatusDetails{RetryAfterSeconds: 1},
				Message: "the delivery could not be recorded just now, send the webhook again: " + cause.Error(),
			}
			if diff := cmp.Diff(want, answered(t, err)); diff != "" || delivered != nil {
				t.Errorf("answer (-want +got), beside %v:\n%s", delivered, diff)
			}
			if got := p.told(); !slices.Contains(got, "write "+plant+" v2.0.0") || slices.Contains(got, "update Applied") {
				t.Errorf("got %q, want a write and no update", got)
			}
			if len(p.events) > 0 {
				t.Errorf("events tell of a delivery that there is none of: %q", p.events)
			}
		})
	}
}

// The slower of the two takes the time, not both.
func TestRecordAndWriteRunAtTheSameTime(t *testing.T) {
	p := newDefaultPipeline()
	record, write := make(chan struct{}), make(chan struct{})
	p.onStep = func(_ context.Context, step string) {
		switch step {
		case "record":
			close(record)
			<-write
		case "write":
			close(write)
			<-record
		}
	}
	if _, err := p.Deliver(t.Context(), toPlant(), release(), false); err != nil {
		t.Fatal(err)
	}
}

// The client chose the name of an object, and if it is taken nothing may happen.
func TestAnObjectIsRecordedBeforeItIsWritten(t *testing.T) {
	for name, test := range map[string]struct {
		onRecord func(*postern.WebhookDelivery) error
		journal  []string
		code     int32 // 0 is no error
	}{
		"recorded":          {func(*postern.WebhookDelivery) error { return nil }, []string{"resolve " + plant, "record Pending", "write " + plant + " v2.0.0", "update Applied"}, 0},
		"the name is taken": {nameTaken, []string{"resolve " + plant, "record Pending"}, http.StatusConflict},
		"no storage":        {func(*postern.WebhookDelivery) error { return errors.New("etcd is gone") }, []string{"resolve " + plant, "record Pending"}, http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			p, d := newDefaultPipeline(), objectToPlant(postern.WebhookDeliverySpec{Ref: "v2.0.0"})
			p.onRecord, d.Name = test.onRecord, "release"
			if err := p.ReceiveObject(t.Context(), d, ci, ""); err != nil {
				t.Fatal(err)
			}
			_, err := p.Execute(t.Context(), d, false)
			p.Drain()
			if diff := cmp.Diff(test.journal, p.journal); diff != "" {
				t.Errorf("journal (-want +got):\n%s", diff)
			}
			if test.code == 0 && err == nil {
				return
			}
			if got := answered(t, err).Code; got != test.code {
				t.Errorf("answered %d, want %d: %v", got, test.code, err)
			}
		})
	}
}

// Many senders hang up after some seconds, and a record that says Pending would be all that is left of what they sent.
func TestAClientThatLeavesStopsNothingOnceRecordingBegan(t *testing.T) {
	type key struct{}
	ctx, leave := context.WithCancel(context.WithValue(t.Context(), key{}, "kept"))
	p := newDefaultPipeline()
	limits := map[string]time.Duration{"record": answerTimeout, "write": answerTimeout, "update": statusTimeout}
	p.onStep = func(ctx context.Context, step string) {
		leave()
		if err := ctx.Err(); err != nil {
			t.Errorf("%s was stopped: %v", step, err)
		}
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > limits[step] {
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
	if got := p.ended(); got != "update Applied" {
		t.Errorf("ended with %q, want the final status", got)
	}
}

func TestAClientThatLeavesStopsADryRun(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	p := newDefaultPipeline()
	p.onStep = func(ctx context.Context, step string) {
		leave()
		if ctx.Err() == nil {
			t.Errorf("%s goes on for nobody", step)
		}
	}
	if _, err := p.Deliver(ctx, toPlant(), release(), true); err != nil {
		t.Fatal(err)
	}
}

func TestADeliveryThatWasNotReceivedIsNotCarried(t *testing.T) {
	d := &Deliverer{}
	if _, err := d.Execute(t.Context(), &postern.WebhookDelivery{}, false); err == nil {
		t.Error("it was carried")
	}
}
