// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
)

func TestExecute_TargetErrorsBecomeAnswers(t *testing.T) {
	down := unavailable(t)
	forbidden := apierrors.NewForbidden(postern.Resource("gatewaysyncs"), "plant", errors.New("Postern may not"))
	status := func(code int32, reason metav1.StatusReason, details *metav1.StatusDetails,
		message string) metav1.Status {
		return metav1.Status{Status: "Failure", Code: code, Reason: reason, Details: details, Message: message}
	}
	for name, test := range map[string]struct {
		err    error
		dryRun bool
		want   metav1.Status
	}{
		"no such object": {notFound(), false, status(http.StatusNotFound, "NotFound", nil, notFound().Error())},
		// A dry run leaves no record to retry.
		"transient, dry run": {down, true,
			status(http.StatusServiceUnavailable, "ServiceUnavailable", &metav1.StatusDetails{RetryAfterSeconds: 1},
				"the target can't be written now, send the webhook again: "+down.Error())},
		// Postern lacks the permission, and not the sender.
		"forbidden": {
			forbidden, false,
			status(http.StatusInternalServerError, "InternalError", nil,
				"the target can't be written: "+forbidden.Error()),
		},
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

// The delivery is recorded, so Postern retries the write and the sender need not send it again.
func TestExecute_TransientErrorIsPending(t *testing.T) {
	down := unavailable(t)
	for name, test := range map[string]struct {
		arrange func(*pipeline)
		journal []string
	}{
		"at the write": {
			func(p *pipeline) { p.writeErr = down },
			[]string{"mutate", "validate", "resolve " + plant, "write " + plant + " v2.0.0", "record Pending"},
		},
		"before": {
			func(p *pipeline) { p.resolveErr = down },
			[]string{"mutate", "validate", "resolve " + plant, "record Pending"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newDefaultPipeline()
			test.arrange(p)
			var recorded *postern.WebhookDelivery
			p.onRecord = func(d *postern.WebhookDelivery) error { recorded = d.DeepCopy(); return nil }
			delivered, err := p.Deliver(t.Context(), toPlant(), release(), false)
			if err != nil {
				t.Fatal(err)
			}
			if s := delivered.Status; s.Phase != postern.DeliveryPending || s.Reason != ReasonTargetUnavailable ||
				s.Message != down.Error() {
				t.Errorf("answered %s, %s, %q", s.Phase, s.Reason, s.Message)
			}
			if !Attempted(recorded) {
				t.Error("it is not Attempted, which would delay the retry")
			}
			if diff := cmp.Diff(test.journal, p.calls()); diff != "" {
				t.Errorf("journal (-want +got):\n%s", diff)
			}
			p.writeErr, p.resolveErr = nil, nil
			if err := p.Resume(t.Context(), recorded, false); err != nil ||
				recorded.Status.Phase != postern.DeliveryApplied || recorded.Status.Message != "it was written" {
				t.Errorf("resumed: %s, %q, %v", recorded.Status.Phase, recorded.Status.Message, err)
			}
		})
	}
}

// Without a record nothing is retried. What was written stays, and a repeat finds it unchanged.
func TestExecute_RecordErrorAsksForRetry(t *testing.T) {
	for name, cause := range map[string]error{
		"no storage":                    errors.New("etcd is gone"),
		"no storage, as a status error": apierrors.NewInternalError(errors.New("etcd is gone")),
		"too slow":                      apierrors.NewTimeoutError("etcd is slow", 7),
	} {
		t.Run(name, func(t *testing.T) {
			testBothWays(t, func(t *testing.T, arrange func(*pipeline)) {
				p := newDefaultPipeline()
				arrange(p)
				p.onRecord = func(*postern.WebhookDelivery) error { return cause }
				delivered, err := p.Deliver(t.Context(), toPlant(), release(), false)
				want := metav1.Status{
					Status: "Failure", Code: http.StatusServiceUnavailable, Reason: "ServiceUnavailable",
					Details: &metav1.StatusDetails{
						RetryAfterSeconds: 1,
					},
					Message: "the delivery can't be recorded now, send the webhook again: " + cause.Error(),
				}
				if diff := cmp.Diff(want, answered(t, err)); diff != "" || delivered != nil {
					t.Errorf("answer (-want +got) with %v:\n%s", delivered, diff)
				}
				if got := p.calls(); !slices.Contains(got, "write "+plant+" v2.0.0") || len(updatesIn(got)) > 0 {
					t.Errorf("got %q, want a write and no update", got)
				}
				if len(p.events) > 0 {
					t.Errorf("there are events of a delivery without a record: %q", p.events)
				}
			})
		})
	}
}

// The client chose the name of the object. If it is taken, nothing may be written.
func TestExecute_ObjectIsRecordedFirst(t *testing.T) {
	for name, test := range map[string]struct {
		onRecord func(*postern.WebhookDelivery) error
		journal  []string
		code     int32 // 0 for no error
	}{
		"recorded": {
			func(*postern.WebhookDelivery) error { return nil },
			[]string{"resolve " + plant, "record Pending", "write " + plant + " v2.0.0", "update Applied"}, 0,
		},
		"the name is taken": {nameTaken, []string{"resolve " + plant, "record Pending"}, http.StatusConflict},
		"no storage": {
			func(*postern.WebhookDelivery) error { return errors.New("etcd is gone") },
			[]string{"resolve " + plant, "record Pending"}, http.StatusServiceUnavailable,
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, d := newDefaultPipeline(), objectToPlant(postern.WebhookDeliverySpec{Ref: "v2.0.0"})
			p.onRecord, d.Name = test.onRecord, "release"
			if err := p.ReceiveObject(t.Context(), d, ci, "", false); err != nil {
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

// Many senders hang up after some seconds. Canceling then would leave a write without a record, or a
// record that says Pending.
func TestExecute_CancelAfterRecordStopsNothing(t *testing.T) {
	testBothWays(t, func(t *testing.T, arrange func(*pipeline)) {
		type key struct{}
		ctx, leave := context.WithCancel(context.WithValue(t.Context(), key{}, "kept"))
		p := newDefaultPipeline()
		limits := map[string]time.Duration{"record": answerTimeout, "write": answerTimeout, "update": statusTimeout}
		p.onStep = func(ctx context.Context, step string) {
			leave()
			if err := ctx.Err(); err != nil {
				t.Errorf("%s: the context is done: %v", step, err)
			}
			if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > limits[step] {
				t.Errorf("%s has no deadline", step)
			}
			if ctx.Value(key{}) != "kept" {
				t.Errorf("%s has no values of the request context", step)
			}
		}
		arrange(p)
		delivered, err := p.Deliver(ctx, toPlant(), release(), false)
		if err != nil {
			t.Fatal(err)
		}
		if delivered.Status.Phase != postern.DeliveryApplied {
			t.Errorf("phase %s, want Applied", delivered.Status.Phase)
		}
		if got := p.lastCall(); got != "record Applied" && got != "update Applied" {
			t.Errorf("ended with %q, want the final status", got)
		}
	})
}

func TestExecute_CancelStopsDryRun(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	p := newDefaultPipeline()
	p.onStep = func(ctx context.Context, step string) {
		leave()
		if ctx.Err() == nil {
			t.Errorf("%s was called after the request ended", step)
		}
	}
	if _, err := p.Deliver(ctx, toPlant(), release(), true); err != nil {
		t.Fatal(err)
	}
}

func TestExecute_NeedsReceivedDelivery(t *testing.T) {
	d := &Deliverer{}
	if _, err := d.Execute(t.Context(), &postern.WebhookDelivery{}, false); err == nil {
		t.Error("it was executed")
	}
}

// A ref that can't be requested is ignored. The record of the others names it, however the delivery came.
func TestExecute_RecordListsIgnoredRefs(t *testing.T) {
	const change = `{"new": {"type": "branch", "name": %q, "target": {"hash": "` + revision + `"}}}`
	r := release()
	r.Body = fmt.Appendf(nil, `{"push": {"changes": [`+change+`, `+change+`]}}`, "a..b", "main")
	for _, dryRun := range []bool{false, true} {
		p := newDefaultPipeline()
		delivered, err := p.Deliver(t.Context(), toPlant(), r, dryRun)
		if err != nil {
			t.Fatal(err)
		}
		want := []postern.IgnoredPart{{
			Reason: "InvalidRef", Message: `the ref "a..b" is not valid: it must not contain ".."`,
		}}
		if s := delivered.Status; s.Phase != postern.DeliveryApplied || !cmp.Equal(s.Ignored, want) {
			t.Errorf("dry run %t: got %s, %+v", dryRun, s.Phase, s.Ignored)
		}
	}
}
