// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
)

const repeated = "this is a repeat of a delivery of 2026-01-02 03:04:05 UTC"

// other is another sender that the cluster has authenticated.
var other = &user.DefaultInfo{Name: "another", Groups: []string{user.AllAuthenticated}}

func updatesIn(journal []string) []string {
	var updates []string
	for _, line := range journal {
		if strings.HasPrefix(line, "update ") {
			updates = append(updates, line)
		}
	}
	return updates
}

// settle waits for the updates after the answers. The lock orders it after the timers of the repeat counter.
func settle(p *pipeline) {
	_ = p.statusUpdates.Wait()
	lock := func() { p.repeats.mu.Lock(); defer p.repeats.mu.Unlock() }
	lock()
	_ = p.repeats.updates.Wait()
	lock()
}

// once makes the first delivery, and waits until it is stored.
func once(t *testing.T, p *pipeline) *postern.WebhookDelivery {
	t.Helper()
	_, _ = p.Deliver(t.Context(), toPlant(), push("d-1", pushed), false)
	settle(p)
	all := p.Records.(*memoryRecords).all()
	if len(all) != 1 {
		t.Fatalf("got %d records, want one", len(all))
	}
	return all[0]
}

// repeat makes the same delivery again, by another sender.
func repeat(t *testing.T, p *pipeline) (*postern.WebhookDelivery, error) {
	t.Helper()
	in := push("d-1", pushed)
	in.User = other
	answer, err := p.Deliver(t.Context(), toPlant(), in, false)
	settle(p)
	return answer, err
}

func TestDedup_AnsweredWithFirstAndRetriesFailed(t *testing.T) {
	down, frozen := unavailable(t), errors.New("frozen")
	fails := func(err error) func(*pipeline) { return func(p *pipeline) { p.writeErr = err } }
	outcome := func(o target.Result) func(*pipeline) {
		return func(p *pipeline) { p.outcome, p.writeErr = o, nil }
	}
	well, held := newDefaultPipeline().outcome, target.Result{Held: true, Reason: target.ReasonAlreadyRequested}
	late, unwanted := target.Result{Reason: target.ReasonSuperseded}, target.Result{
		Reason: target.ReasonNotApplicable,
	}
	for name, test := range map[string]struct {
		first, then func(*pipeline)
		phase       postern.DeliveryPhase
		code        int32 // 0 for no error
		writes      int
	}{
		"it was applied":                         {outcome(well), outcome(well), "Applied", 0, 1},
		"it changed nothing":                     {outcome(held), outcome(well), "Applied", 0, 1},
		"it was applied, and replaced":           {outcome(well), outcome(late), "Applied", 0, 1},
		"it was applied, and the target is gone": {outcome(well), fails(notFound()), "Applied", 0, 1},
		"it was superseded":                      {outcome(late), outcome(well), "Superseded", 0, 0},
		"it is pending":                          {fails(down), outcome(well), "Pending", 0, 0},
		"it failed and is written":               {fails(frozen), outcome(well), "Applied", 0, 1},
		"it failed and is held now":              {fails(frozen), outcome(held), "Applied", 0, 1},
		"it failed and is late now":              {fails(frozen), outcome(late), "Superseded", 0, 1},
		"it failed and fails again":              {fails(frozen), fails(frozen), "Failed", 500, 1},
		"it failed and target is down":           {fails(frozen), fails(down), "Pending", 0, 1},
		"it failed and is not found": {fails(frozen), func(p *pipeline) { p.resolveErr = down }, "Pending",
			0, 0},
		"it failed and has no target": {fails(frozen), func(p *pipeline) { p.resolveErr = notFound() },
			"Failed", 404, 0},
		"it was ignored and is wanted now": {outcome(unwanted), outcome(well), "Applied", 0, 1},
		"it was ignored and is again":      {outcome(unwanted), outcome(unwanted), "Ignored", 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := pipelineOn(&memoryRecords{})
			test.first(p)
			first := once(t, p)
			written := len(p.requests)
			test.then(p)
			answer, err := repeat(t, p)
			if test.code != 0 {
				if got := answered(t, err).Code; got != test.code {
					t.Errorf("answered %d, want %d", got, test.code)
				}
			} else if err != nil {
				t.Fatal(err)
			}
			if s := answer.Status; s.Reason != ReasonAlreadyDelivered || !strings.HasPrefix(s.Message, repeated) ||
				s.Phase != test.phase || answer.UID != first.UID {
				t.Errorf("answered %s: %s, %s, %q", answer.Name, s.Phase, s.Reason, s.Message)
			}
			if why := first.Status.Message; test.phase == "Pending" && first.Status.Phase == "Pending" &&
				answer.Status.Message != repeated+": "+why {
				t.Errorf("the answer is %q, want why it is pending: %q", answer.Status.Message, why)
			}
			tried := p.requests[written:]
			if len(tried) != test.writes {
				t.Errorf("the target was written %d times, want %d", len(tried), test.writes)
			}
			for _, r := range tried {
				if again := first.Status.Phase == "Applied"; r.Retry == again || r.Again != again ||
					!r.Received.Equal(first.Status.ReceivedTime.Time) {
					t.Errorf("tried with the receipt %s, retry %v, again %v; want the receipt of the first, %s",
						r.Received,
						r.Retry, r.Again, first.Status.ReceivedTime)
				}
			}
			p.Drain()
			checkFirst(t, p, first, test.phase)
		})
	}
}

// checkFirst fails the test unless the only record is still the one of the first delivery.
func checkFirst(t *testing.T, p *pipeline, first *postern.WebhookDelivery, phase postern.DeliveryPhase) {
	t.Helper()
	all := p.Records.(*memoryRecords).all()
	if len(all) != 1 {
		t.Fatalf("got %d records, want one", len(all))
	}
	got := all[0].Status
	if got.Phase != phase || got.Reason == ReasonAlreadyDelivered {
		t.Errorf("the record says %s, %s; want %s", got.Phase, got.Reason, phase)
	}
	if diff := cmp.Diff(first.Status.Sender, got.Sender); diff != "" {
		t.Errorf("the sender was changed (-before +after):\n%s", diff)
	}
	if !got.ReceivedTime.Equal(first.Status.ReceivedTime) || got.AuditID != first.Status.AuditID {
		t.Errorf("the record has the receipt %s, want %s", got.ReceivedTime, first.Status.ReceivedTime)
	}
	if diff := cmp.Diff(first.Spec, all[0].Spec); diff != "" {
		t.Errorf("the spec was changed (-before +after):\n%s", diff)
	}
	if phase == postern.DeliveryPending {
		return // a repeat must not conflict with its executor
	}
	want := &postern.Repeats{
		Count: 1, LastTime: metav1.NewTime(received.Truncate(time.Second)),
		LastSender: postern.Sender{Name: other.Name, Method: "User"},
	}
	if diff := cmp.Diff(want, got.Repeats); diff != "" {
		t.Errorf("repeats (-want +got):\n%s", diff)
	}
}

func TestDedup_NothingRequestedAnsweredWithFirst(t *testing.T) {
	ping := Request{
		Header: http.Header{"X-Github-Event": {"ping"}, "X-Github-Delivery": {"d-1"}}, Body: []byte(`{}`), User: ci,
	}
	for name, test := range map[string]struct {
		to func() *postern.WebhookDelivery
		in Request
	}{"asks for nothing": {toPlant, ping}, "nothing wants it": {toAll, push("d-1", pushed)}} {
		for _, dryRun := range []bool{false, true} {
			s := &memoryRecords{}
			p := pipelineOn(s)
			first, err := p.Deliver(t.Context(), test.to(), test.in, false)
			if err != nil {
				t.Fatal(err)
			}
			changes := s.changes
			answer, err := p.Deliver(t.Context(), test.to(), test.in, dryRun)
			if err != nil {
				t.Fatal(err)
			}
			if s := answer.Status; answer.UID != first.UID || s.Phase != "Ignored" ||
				s.Reason != ReasonAlreadyDelivered {
				t.Errorf("%s: answered %s: %s, %s", name, answer.Name, s.Phase, s.Reason)
			}
			if p.Drain(); dryRun && s.changes != changes || len(s.all()) != 1 || len(p.events) > 0 {
				t.Errorf("%s, dry run %v: left %d changes, %d records and the events %q", name, dryRun,
					s.changes-changes, len(s.all()), p.events)
			}
		}
	}
}

func TestDedup_DryRunShowsChangeAndLeavesNothing(t *testing.T) {
	for phase, fails := range map[postern.DeliveryPhase]error{
		"Failed": errors.New("frozen"), "Pending": unavailable(t), "Applied": nil,
	} {
		s := &memoryRecords{}
		p := pipelineOn(s)
		p.writeErr = fails
		first := once(t, p)
		p.writeErr = nil
		changes, events := s.changes, len(p.events)
		answer, err := p.Deliver(t.Context(), toPlant(), push("d-1", pushed), true)
		if err != nil {
			t.Fatal(err)
		}
		want := phase
		if phase == "Failed" {
			want = "Applied"
		}
		if got := answer.Status; answer.UID != first.UID || got.Phase != want || got.Reason != ReasonAlreadyDelivered {
			t.Errorf("first %s: answered %s: %s, %s; want %s", phase, answer.Name, got.Phase, got.Reason, want)
		}
		if p.Drain(); s.changes != changes || len(p.events) != events {
			t.Errorf("first %s: left %d changes and the events %q", phase, s.changes-changes, p.events)
		}
	}
}

func TestDedup_SameFailureIsStoredOnce(t *testing.T) {
	s := &memoryRecords{}
	p := pipelineOn(s)
	p.writeErr = errors.New("frozen")
	once(t, p)
	updates := s.updates
	for range 50 {
		_, _ = repeat(t, p)
	}
	if got := s.updates - updates; got > 1 { // one counts the first repeat
		t.Errorf("50 repeats cost %d updates", got)
	}
	p.Drain()
	if got := s.all()[0].Status.Repeats; got == nil || got.Count != 50 {
		t.Errorf("counted %+v, want 50", got)
	}
}

// Nothing was recorded or written, so the sender must send it again.
func TestDedup_LookupErrorWritesNothing(t *testing.T) {
	p := newDefaultPipeline()
	p.onGet = func() (*postern.WebhookDelivery, error) { return nil, errors.New("etcd is gone") }
	_, err := p.Deliver(t.Context(), toPlant(), push("d-1", pushed), false)
	got := answered(t, err)
	if got.Code != http.StatusServiceUnavailable || got.Details == nil || got.Details.RetryAfterSeconds != 1 {
		t.Errorf("answered %+v, want 503 and Retry-After", got)
	}
	if len(p.requests) > 0 {
		t.Errorf("wrote %v", p.requests)
	}
}

// The sender chooses the id, so an unauthenticated delivery must learn nothing about earlier ones.
func TestDedup_IsVerifiedAndAdmitted(t *testing.T) {
	p := pipelineOn(&memoryRecords{})
	once(t, p)
	in := push("d-1", pushed)
	in.User = nil
	if _, err := p.Deliver(t.Context(), toPlant(), in, false); answered(t, err).Code != http.StatusUnauthorized {
		t.Errorf("unauthenticated: got %v", err)
	}
	p.onValidate = denied
	if _, err := repeat(t, p); answered(t, err).Code != http.StatusForbidden {
		t.Errorf("denied: got %v", err)
	}
	p.Drain()
	if got := p.Records.(*memoryRecords).all()[0].Status.Repeats; got != nil {
		t.Errorf("counted %+v", got)
	}
}
