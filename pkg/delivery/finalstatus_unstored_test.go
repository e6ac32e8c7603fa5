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

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
)

// brokenRecords call before, which may return an error, before they store a status.
type brokenRecords struct {
	*memoryRecords
	before func(delivery *postern.WebhookDelivery) error
}

func (s *brokenRecords) UpdateStatus(
	ctx context.Context, delivery *postern.WebhookDelivery,
) (*postern.WebhookDelivery, error) {
	if err := s.before(delivery); err != nil {
		return nil, err
	}
	return s.memoryRecords.UpdateStatus(ctx, delivery)
}

// pipelineOnBrokenRecords returns a pipeline whose only match is the Application shop, which is written slowly.
func pipelineOnBrokenRecords(before func(*postern.WebhookDelivery) error) (*pipeline, *brokenRecords) {
	s := &brokenRecords{&memoryRecords{}, before}
	p := pipelineOn(s.memoryRecords, func(c *Config) { c.Records = s })
	p.matches = matching("demo", "shop")
	p.writeSlowly()
	return p, s
}

// A new decision may differ from the answer to the sender.
func TestUnstored_RecordEndsAsAnswered(t *testing.T) {
	for name, then := range map[string]func(*pipeline){
		"nothing wants it anymore": func(p *pipeline) { p.matches = matching("demo") },
		"there is a newer version": func(p *pipeline) { p.outcome = target.Result{Reason: "OlderVersion"} },
		"it is superseded":         func(p *pipeline) { p.outcome = target.Result{Reason: target.ReasonSuperseded} },
		"its target is deleted":    func(p *pipeline) { p.atTarget = map[string]atTarget{"shop": {err: notFound()}} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s := pipelineOnBrokenRecords(func(*postern.WebhookDelivery) error {
					return errors.New("etcd is slow")
				})
				answer, err := p.Deliver(t.Context(), toAll(), release(), false)
				if err != nil || answer.Status.Phase != postern.DeliveryApplied {
					t.Fatalf("got %v, %v", answer, err)
				}
				advance(GracePeriod)
				synctest.Wait()
				for try := range 2 { // the first one fails too
					then(p)
					record := s.all()[0]
					if err := p.Resume(t.Context(), record, true); (err != nil) != (try == 0) {
						t.Fatalf("try %d: got %v", try, err)
					}
					s.before = func(*postern.WebhookDelivery) error { return nil }
				}
				want, got := summaryOf(answer.Status), summaryOf(s.all()[0].Status)
				if fmt.Sprint(got) != fmt.Sprint(want) || len(p.requests) != 1 {
					t.Errorf("answered %+v, recorded %+v, written %d times", want, got, len(p.requests))
				}
				if n := len(p.events); n != 1 {
					t.Errorf("%d events: %q", n, p.events)
				}
				p.Drain()
			})
		})
	}
}

func TestUnstored_PendingContinues(t *testing.T) {
	down := unavailable(t)
	synctest.Test(t, func(t *testing.T) {
		p, s := pipelineOnBrokenRecords(func(*postern.WebhookDelivery) error { return errors.New("etcd is slow") })
		p.matches = matching("demo", "shop", "slow")
		p.atTarget = map[string]atTarget{"slow": {err: down}}
		if _, err := p.Deliver(t.Context(), toAll(), release(), false); err != nil {
			t.Fatal(err)
		}
		advance(GracePeriod)
		synctest.Wait()
		s.before, p.atTarget, p.requests = func(*postern.WebhookDelivery) error { return nil }, nil, nil
		if err := p.Resume(t.Context(), s.all()[0], false); err != nil {
			t.Fatal(err)
		}
		if got := s.all()[0].Status; got.Phase != postern.DeliveryApplied || len(p.requests) != 1 ||
			len(p.events) != 2 {
			t.Errorf("the record says %s, %s; written %d times, events %q", got.Phase, got.Message, len(p.requests),
				p.events)
		}
		p.Drain()
	})
}

func TestUnstored_StoredOnceStorageRecovers(t *testing.T) {
	passing := errors.New("etcdserver: leader changed")
	conflict := apierrors.NewConflict(postern.Resource("webhookdeliveries"), "x", errors.New("changed"))
	pends := func(r *postern.WebhookDelivery) { r.Status.Reason = ReasonTargetUnavailable }
	ends := func(r *postern.WebhookDelivery) { r.Status.Phase = postern.DeliverySuperseded }
	isOther := func(r *postern.WebhookDelivery) { r.UID = "another" }
	for name, test := range map[string]struct {
		errs  []error                               // of the first tries
		other func(record *postern.WebhookDelivery) // a concurrent update before the first try
		want  postern.DeliveryPhase
	}{
		"at the third try":                      {[]error{passing, passing}, nil, "Applied"},
		"over a pending record":                 {[]error{conflict}, pends, "Applied"},
		"over a pending record, later":          {[]error{conflict, passing, conflict}, pends, "Applied"},
		"not over a final status":               {[]error{conflict}, ends, "Superseded"},
		"not over another object with its name": {[]error{conflict}, isOther, "Pending"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var p *pipeline
				var s *brokenRecords
				tries := 0
				p, s = pipelineOnBrokenRecords(func(*postern.WebhookDelivery) error {
					tries++
					if tries > len(test.errs) {
						return nil
					}
					if tries == 1 && test.other != nil {
						s.mu.Lock()
						defer s.mu.Unlock()
						for _, record := range s.records {
							test.other(record)
							s.keep(record)
						}
					}
					return test.errs[tries-1]
				})
				if _, err := p.Deliver(t.Context(), toAll(), release(), false); err != nil {
					t.Fatal(err)
				}
				p.Drain()
				if got := s.all()[0].Status.Phase; got != test.want {
					t.Errorf("the record says %s, want %s, after %d tries", got, test.want, tries)
				}
			})
		})
	}
}

// Only the process that answered knows the outcome. The record of a delivery that is now superseded or not wanted looks
// as if that had been the outcome from the start.
func TestUnstored_CrashMakesFirstTryUnknown(t *testing.T) {
	down := unavailable(t)
	for name, test := range map[string]struct {
		outcome target.Result
		phase   postern.DeliveryPhase
		said    bool
	}{
		"superseded":    {target.Result{Reason: target.ReasonSuperseded, Message: "late"}, "Superseded", true},
		"older version": {target.Result{Reason: "OlderVersion", Message: "old"}, "Ignored", true},
		"written":       {newDefaultPipeline().outcome, "Applied", false},
		"held":          {target.Result{Held: true, Reason: target.ReasonAlreadyRequested}, "Applied", false},
	} {
		for _, awayAtFirst := range []bool{false, true} {
			p, d := newDefaultPipeline(), toNamed(unfinished())
			p.outcome = test.outcome
			if awayAtFirst {
				p.writeErr = down
				for range 2 {
					if err := p.Resume(t.Context(), d, false); !errors.Is(err, ErrStillPending) {
						t.Fatalf("%s: got %v, want ErrStillPending", name, err)
					}
				}
				p.writeErr = nil
			}
			if err := p.Resume(t.Context(), d, false); err != nil {
				t.Fatal(err)
			}
			condition := meta.FindStatusCondition(d.Status.Conditions, postern.ConditionApplied)
			said := strings.Count(d.Status.Message, firstUnknown) == 1
			if d.Status.Phase != test.phase || said != test.said || condition.Message != d.Status.Message {
				t.Errorf("%s, failing first %t: got %s, %q, and as condition %q",
					name, awayAtFirst, d.Status.Phase, d.Status.Message, condition.Message)
			}
		}
		p, d := newDefaultPipeline(), toNamed(unfinished(at("plant", "Pending", "TargetUnavailable")))
		p.outcome = test.outcome
		if err := p.Resume(t.Context(), d, false); err != nil || strings.Contains(d.Status.Message, firstUnknown) {
			t.Errorf("%s, answered as pending: got %v, %q", name, err, d.Status.Message)
		}
	}
}

func TestUnstored_StatusesAreBounded(t *testing.T) {
	u := newUnstored()
	for i := range maxUnstored + 1 {
		d := deliveryWithResults(0)
		d.UID = types.UID(fmt.Sprint(i))
		u.note(d)
	}
	large := deliveryWithResults(100)
	large.UID, large.Status.Phase = "large", postern.DeliveryApplied
	u.note(large)
	first, last, kept := deliveryWithResults(0), deliveryWithResults(0), u.of(large)
	first.UID, last.UID = "0", types.UID(fmt.Sprint(maxUnstored))
	if u.of(first) != nil || u.of(last) == nil {
		t.Errorf("more than %d statuses are kept, or the last is not", maxUnstored)
	}
	if kept == nil || kept.Phase != postern.DeliveryApplied || len(kept.Targets) > 0 ||
		len(large.Status.Targets) != 100 {
		t.Errorf("got %+v of a large one", kept)
	}
}
