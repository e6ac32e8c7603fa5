// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
)

// takeBack reports, as package target does, that the request of a write was taken back.
func takeBack(report func(target.TakenBack), name string) {
	report(target.TakenBack{
		Key:     postern.TargetKey{Kind: postern.TargetApplication, Namespace: "demo", Name: name},
		Fields:  []string{"postern.dev/requested-ref", "spec.source.targetRevision"},
		Manager: "argocd-applicationset-controller", At: now, Note: "the ApplicationSet generates it",
	})
}

func TestTakenBack_IsRecordedWithEvent(t *testing.T) {
	for name, early := range map[string]bool{"before the record is stored": true, "after it": false} {
		t.Run(name, func(t *testing.T) {
			testBothWays(t, func(t *testing.T, arrange func(*pipeline)) {
				records := &memoryRecords{}
				p := pipelineOn(records)
				p.matches = matching("demo", "shop", "other")
				p.onStep = stepHook(p, early)
				arrange(p)
				if _, err := p.Deliver(t.Context(), toAll(), push("d-1", pushed), false); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if !early {
					takeBack(p.takeBack[0], "shop")
				}
				advance(2 * takenBackDelay)
				synctest.Wait()

				got := records.all()[0].Status
				const message = "argocd-applicationset-controller changed postern.dev/requested-ref, " +
					"spec.source.targetRevision at 2026-01-02T03:04:05Z: the ApplicationSet generates it"
				held := meta.FindStatusCondition(got.Conditions, postern.ConditionKept)
				if held == nil || held.Status != "False" || held.Reason != ReasonTakenBack ||
					held.Message != "Application shop: "+message {
					t.Errorf("got the condition %+v", held)
				}
				if got.Phase != postern.DeliveryApplied || got.Reason != ReasonTakenBack ||
					got.Message != held.Message ||
					!meta.IsStatusConditionTrue(got.Conditions, postern.ConditionApplied) {
					t.Errorf("got %s, %s, %q", got.Phase, got.Reason, got.Message)
				}
				for _, r := range got.Targets {
					if taken := r.Reason == ReasonTakenBack && r.Message == message; taken != (r.Name == "shop") ||
						r.Result != postern.TargetWritten {
						t.Errorf("got the result %+v", r)
					}
				}
				if !slices.ContainsFunc(p.events, func(e string) bool {
					return strings.HasPrefix(e, "Warning RefTakenBack Deliver | argoproj.io/v1alpha1 Application "+
						"demo/shop | ") &&
						strings.HasSuffix(e, message)
				}) {
					t.Errorf("got the events %q", p.events)
				}
				p.Drain()
			})
		})
	}
}

// stepHook takes the first write back at once if early is set.
func stepHook(p *pipeline, early bool) func(ctx context.Context, step string) {
	var once sync.Once
	return func(_ context.Context, step string) {
		if step != "write" || !early {
			return
		}
		p.mu.Lock()
		first := p.takeBack[0]
		p.mu.Unlock()
		once.Do(func() { takeBack(first, "shop") })
	}
}

// A fan-out that is taken back costs few updates of its record.
func TestTakenBack_OfManyTargetsIsStoredTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := &memoryRecords{}
		p := pipelineOn(records)
		var names []string
		for i := range 100 {
			names = append(names, fmt.Sprintf("shop-%d", i))
		}
		p.matches = matching("demo", names...)
		if _, err := p.Deliver(t.Context(), toAll(), push("d-1", pushed), false); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		before := records.changes
		for i, report := range p.takeBack {
			takeBack(report, names[i])
			advance(10 * time.Millisecond)
		}
		advance(2 * takenBackDelay)
		synctest.Wait()
		got := records.all()[0].Status
		if updates := records.changes - before; updates > 3 {
			t.Errorf("the record was updated %d times", updates)
		}
		if want := "100 targets no longer hold the ref, see status.targets; "; !strings.HasPrefix(got.Message, want) {
			t.Errorf("got the message %q", got.Message)
		}
		p.Drain()
	})
}

func TestTakenBack_AfterShutdownOrDeletionIsDropped(t *testing.T) {
	for name, end := range map[string]func(*pipeline, *memoryRecords){
		"shutdown": func(p *pipeline, _ *memoryRecords) { p.Drain() },
		"deletion, and another record of that name": func(_ *pipeline, s *memoryRecords) {
			recreated := s.all()[0]
			recreated.UID = "another"
			s.mu.Lock()
			defer s.mu.Unlock()
			s.keep(recreated)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				records := &memoryRecords{}
				p := pipelineOn(records)
				p.matches = matching("demo", "shop")
				if _, err := p.Deliver(t.Context(), toAll(), push("d-1", pushed), false); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				end(p, records)
				before := records.changes
				takeBack(p.takeBack[0], "shop")
				advance(2 * takenBackDelay)
				synctest.Wait()
				if records.changes != before {
					t.Error("the record was updated")
				}
				p.Drain()
			})
		})
	}
}

func TestTakenBack_DuringRetryIsRecordedAfterOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := &memoryRecords{}
		p := pipelineOn(records)
		p.matches = matching("demo", "shop")
		record, err := records.Create(t.Context(), unfinished(at("shop", "Pending", "TargetUnavailable")), false)
		if err != nil {
			t.Fatal(err)
		}
		p.onStep = func(_ context.Context, step string) {
			if step == "write" {
				takeBack(p.takeBack[0], "shop")
				advance(2 * takenBackDelay)
			}
		}
		if err := p.Resume(t.Context(), record, false); err != nil {
			t.Fatalf("the outcome is lost: %v", err)
		}
		advance(2 * takenBackDelay)
		synctest.Wait()
		if got := records.all()[0].Status; got.Phase != postern.DeliveryApplied || got.Reason != ReasonTakenBack {
			t.Errorf("got %s, %s", got.Phase, got.Reason)
		}
		p.Drain()
	})
}
