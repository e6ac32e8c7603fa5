// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
)

// slowly delays a step of the first delivery only.
func slowly(p *pipeline, step string, pause time.Duration) {
	var once sync.Once
	wait := func() { once.Do(func() { advance(pause) }) }
	switch step {
	case "admission":
		p.onValidate = func(*postern.WebhookDelivery) error { wait(); return nil }
	default:
		p.onStep = func(_ context.Context, at string) {
			if at == step {
				wait()
			}
		}
	}
}

// Otherwise the repeat would be written first, with its own receipt.
func TestInFlight_DuplicateWaitsForFirst(t *testing.T) {
	for _, step := range []string{"admission", "write"} {
		synctest.Test(t, func(t *testing.T) {
			p := pipelineOn(&memoryRecords{})
			slowly(p, step, 3*time.Second)
			var running sync.WaitGroup
			var answers [3]*postern.WebhookDelivery
			for i := range answers {
				running.Go(func() {
					advance(time.Duration(i) * time.Second)
					answer, err := p.Deliver(t.Context(), toPlant(), push("d-1", pushed), false)
					if err != nil {
						t.Error(err)
					}
					answers[i] = answer
				})
			}
			running.Wait()
			p.Drain()
			if len(p.requests) != 1 || !p.request.Received.Equal(received) {
				t.Errorf("%s: written for %v, want only the first receipt", step, p.requests)
			}
			for i, answer := range answers {
				if isRepeat := answer.Status.Reason == ReasonAlreadyDelivered; isRepeat != (i > 0) ||
					answer.Status.Phase != "Applied" {
					t.Errorf("%s: answer %d is %s, %s", step, i, answer.Status.Phase, answer.Status.Reason)
				}
			}
			if n := len(p.inFlight.calls); n > 0 {
				t.Errorf("%s: %d deliveries are in flight at the end", step, n)
			}
		})
	}
}

func TestInFlight_DuplicateOfRefusedIsJudgedAlone(t *testing.T) {
	p := pipelineOn(&memoryRecords{})
	p.onValidate = denied
	if _, err := p.Deliver(t.Context(), toPlant(), push("d-1", pushed), false); err == nil {
		t.Fatal("it was not refused")
	}
	p.onValidate = func(*postern.WebhookDelivery) error { return nil }
	answer, err := p.Deliver(t.Context(), toPlant(), push("d-1", pushed), false)
	if err != nil || answer.Status.Reason != target.ReasonRequested {
		t.Errorf("got %+v, %v", answer, err)
	}
	p.Drain()
}

func TestInFlight_CanceledDuplicateGets429(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pipelineOn(&memoryRecords{})
		slowly(p, "write", 5*time.Second)
		go func() { _, _ = p.Deliver(context.Background(), toPlant(), push("d-1", pushed), false) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := p.Deliver(ctx, toPlant(), push("d-1", pushed), false)
		if got := answered(t, err); got.Code != 503 || got.Details.RetryAfterSeconds == 0 {
			t.Errorf("answered %+v", got)
		}
		advance(5 * time.Second)
		p.Drain()
	})
}

// Both replicas receive it at the same time, and find no record.
func TestInFlight_TwoReplicasWriteOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memoryRecords{}
		shared := func(c *Config) { c.Shared = true }
		replicas := []*pipeline{pipelineOn(s, shared), pipelineOn(s, shared)}
		var running sync.WaitGroup
		for _, p := range replicas {
			// both have looked it up by then
			p.onValidate = func(*postern.WebhookDelivery) error { advance(time.Second); return nil }
			running.Go(func() {
				if _, err := p.Deliver(t.Context(), toPlant(), push("d-1", pushed), false); err != nil {
					t.Error(err)
				}
			})
		}
		running.Wait()
		for _, p := range replicas {
			p.Drain()
		}
		requests := slices.Concat(replicas[0].requests, replicas[1].requests)
		if writes := len(firstRequests(requests)); writes != 1 || len(s.all()) != 1 {
			t.Errorf("%d writes and %d records, want one of each", writes, len(s.all()))
		}
	})
}

// firstRequests omits repeats, which change nothing of what is requested.
func firstRequests(requests []target.Request) []target.Request {
	return slices.DeleteFunc(requests, func(r target.Request) bool { return r.Again })
}

// A delivery that writes nothing, and a dry run, are also repeats if another replica has recorded the first meanwhile.
func TestInFlight_TwoReplicasRecordOnce(t *testing.T) {
	ping := Request{
		Header: http.Header{"X-Github-Event": {"ping"}, "X-Github-Delivery": {"d-1"}}, Body: []byte(`{}`), User: ci,
	}
	for name, test := range map[string]struct {
		to     func() *postern.WebhookDelivery
		in     Request
		err    error // of Matches
		dryRun bool
	}{
		"nothing is requested": {to: toPlant, in: ping},
		"nothing wants it":     {to: toAll, in: push("d-1", pushed)},
		"targets are unknown":  {to: toAll, in: push("d-1", pushed), err: unavailable(t)},
		"a dry run":            {to: toPlant, in: push("d-1", pushed), dryRun: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := &memoryRecords{}
			first, second := pipelineOn(s), pipelineOn(s)
			first.matches, second.matches = noMatches(test.err), noMatches(test.err)
			second.onValidate = func(*postern.WebhookDelivery) error { // it has been looked up by then
				_, err := first.Deliver(t.Context(), test.to(), test.in, false)
				first.Drain()
				return err
			}
			answer, err := second.Deliver(t.Context(), test.to(), test.in, test.dryRun)
			if err != nil {
				t.Fatal(err)
			}
			if second.Drain(); answer.Status.Reason != ReasonAlreadyDelivered || len(s.all()) != 1 {
				t.Errorf("answered %s with %d records, want %s and one", answer.Status.Reason, len(s.all()),
					ReasonAlreadyDelivered)
			}
		})
	}
}

func TestInFlight_PanicReleasesDelivery(t *testing.T) {
	p := pipelineOn(&memoryRecords{})
	p.onValidate = func(*postern.WebhookDelivery) error { panic("a bug") }
	func() {
		defer func() { _ = recover() }()
		_, _ = p.Deliver(t.Context(), toPlant(), push("d-1", pushed), false)
	}()
	p.onValidate = func(*postern.WebhookDelivery) error { return nil }
	if _, err := p.Deliver(t.Context(), toPlant(), push("d-1", pushed), false); err != nil {
		t.Error(err)
	}
	p.Drain()
}

func TestRepeatCount_IsBatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memoryRecords{}
		p := pipelineOn(s)
		once(t, p)
		updates := s.updates
		for range 600 { // for a minute
			if _, err := repeat(t, p); err != nil {
				t.Error(err)
			}
			advance(100 * time.Millisecond)
		}
		advance(2 * repeatCountInterval)
		synctest.Wait()
		if got := s.all()[0].Status.Repeats; got.Count != 600 || got.LastSender.Name != other.Name {
			t.Errorf("counted %+v, want 600", got)
		}
		if got := s.updates - updates; got > 8 {
			t.Errorf("600 repeats in a minute cost %d updates", got)
		}
		if len(p.repeats.open) > 0 {
			t.Error("the counting does not stop")
		}
		p.Drain()
	})
}

func TestRepeatCount_StoreErrorIsRetried(t *testing.T) {
	down := unavailable(t)
	synctest.Test(t, func(t *testing.T) {
		s := &memoryRecords{}
		p := pipelineOn(s)
		p.writeErr = down
		once(t, p)
		if _, err := repeat(t, p); err != nil {
			t.Fatal(err)
		}
		if s.all()[0].Status.Repeats != nil {
			t.Error("a pending record was changed by a repeat")
		}
		p.writeErr = nil
		if err := p.Resume(t.Context(), s.all()[0], false); err != nil {
			t.Fatal(err)
		}
		advance(2 * repeatCountInterval)
		synctest.Wait()
		if got := s.all()[0].Status; got.Phase != "Applied" || got.Repeats == nil || got.Repeats.Count != 1 {
			t.Errorf("the record says %s, %+v", got.Phase, got.Repeats)
		}
		p.Drain()
	})
}
