// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
)

// unfinished returns a delivery of v2.0.0 without a target that was received an hour ago, with these results.
func unfinished(results ...postern.TargetResult) *postern.WebhookDelivery {
	d := toAll()
	d.Name, d.Spec.Source = "generic-x", "generic"
	d.Spec.Events = []postern.DeliveryEvent{{Source: "generic", Event: "request", Ref: "v2.0.0"}}
	d.Status.Phase, d.Status.Sender = postern.DeliveryPending, &postern.Sender{Name: ci.Name, Method: "ServiceAccount"}
	d.Status.ReceivedTime = &metav1.MicroTime{Time: received.Add(-time.Hour)}
	if len(results) > 0 {
		setOutcome(d, results, now.Add(-time.Hour))
	}
	return d
}

// at returns a result at an Application an hour ago.
func at(name string, r postern.TargetResultType, reason string) postern.TargetResult {
	return postern.TargetResult{
		Kind: postern.TargetApplication, Name: name, Ref: "v2.0.0", Result: r, Reason: reason,
		Time: metav1.NewTime(now.Add(-time.Hour)),
	}
}

// toNamed sets the target of a delivery to the GatewaySync plant.
func toNamed(d *postern.WebhookDelivery) *postern.WebhookDelivery {
	d.Spec.Target = toPlant().Spec.Target
	return d
}

func writesIn(journal []string) []string {
	var writes []string
	for _, line := range journal {
		if strings.HasPrefix(line, "write ") {
			writes = append(writes, line)
		}
	}
	return writes
}

func TestResume_RetriesOnlyPendingTargets(t *testing.T) {
	p := newDefaultPipeline()
	p.matches = matching("demo", "a", "b", "c", "d", "e")
	d := unfinished(at("a", "Written", "Requested"), at("b", "Pending", "TargetUnavailable"),
		at("c", "Skipped", "NotFollowed"),
		at("d", "Pending", "TargetUnavailable"), at("e", "Failed", "TargetRefused"))
	if err := p.Resume(t.Context(), d, false); err != nil {
		t.Fatal(err)
	}
	writes := writesIn(p.journal)
	slices.Sort(writes) // the order is not defined
	if diff := cmp.Diff([]string{"write Application demo/b v2.0.0", "write Application demo/d v2.0.0"},
		writes); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	for _, request := range p.requests {
		want := target.Request{
			DeliveryEvent: &postern.DeliveryEvent{Source: "generic", Event: "request", Ref: "v2.0.0"},
			At:            now, Received: received.Add(-time.Hour), Retry: true, IfFollowed: true,
		}
		if diff := cmp.Diff(want, request); diff != "" {
			t.Errorf("request (-want +got):\n%s", diff)
		}
	}
	want := summary{"Failed", "SomeTargetsFailed",
		"3 written, 0 unchanged, 1 skipped, 0 superseded, 0 pending, 1 failed", []string{
			"a v2.0.0: Written Requested", "b v2.0.0: Written Requested", "c v2.0.0: Skipped NotFollowed",
			"d v2.0.0: Written Requested", "e v2.0.0: Failed TargetRefused",
		}}
	if diff := cmp.Diff(want, summaryOf(d.Status)); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if got := p.journal[len(p.journal)-1]; got != "update Failed" {
		t.Errorf("ended with %q, want the final status", got)
	}
	for _, result := range d.Status.Targets {
		if old := result.Name == "a" || result.Name == "c" || result.Name == "e"; old == result.Time.Time.Equal(now) {
			t.Errorf("%s: the time is %s", result.Name, result.Time)
		}
	}
	// Events are not repeated.
	if len(p.events) != 2 || strings.Contains(strings.Join(p.events, ""), "demo/a ") {
		t.Errorf("events %q, want one for each of b and d", p.events)
	}
}

// Two images in one delivery may have the same tag.
func TestResume_DistinguishesImagesOfOneTag(t *testing.T) {
	for _, pendingFirst := range []bool{true, false} {
		d := unfinished()
		d.Spec.Target = &postern.TargetReference{Kind: postern.TargetApplication, Name: "a"}
		d.Spec.Events = nil
		for _, repository := range []string{"acme/shop", "acme/web"} {
			d.Spec.Events = append(d.Spec.Events, postern.DeliveryEvent{
				Source: "generic", Ref: "v2.0.0", Image: &postern.ImageReference{
					Host: "quay.io", Repository: repository, Tag: "v2.0.0",
				},
			})
		}
		results, want := []postern.TargetResult{
			at("a", "Pending", "TargetUnavailable"), at("a", "Written", "Requested"),
		}, "quay.io/acme/shop"
		if !pendingFirst {
			slices.Reverse(results)
			want = "quay.io/acme/web"
		}
		setOutcome(d, results, now)
		p := newDefaultPipeline()
		if err := p.Resume(t.Context(), d, false); err != nil {
			t.Fatal(err)
		}
		if len(p.requests) != 1 || p.request.Image.Name() != want {
			t.Errorf("tried %+v, want %s", p.requests, want)
		}
		const message = "2 written, 0 unchanged, 0 skipped, 0 superseded, 0 pending, 0 failed"
		if got := summaryOf(d.Status).Message; got != message {
			t.Errorf("got %s", got)
		}
	}
}

// Each update of the record wakes its watchers, including the controller.
func TestResume_UnchangedStatusIsNotStored(t *testing.T) {
	down := unavailable(t)
	for name, results := range map[string][]postern.TargetResult{
		"one":               {at("a", "Pending", "TargetUnavailable")},
		"the first of two":  {at("a", "Pending", "TargetUnavailable"), at("b", "Written", "Requested")},
		"the second of two": {at("a", "Skipped", "NotFollowed"), at("b", "Pending", "TargetUnavailable")},
		"one between others": {
			at("a", "Failed", "TargetRefused"), at("b", "Pending", "TargetUnavailable"),
			at("c", "Written", "Requested"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, d := newDefaultPipeline(), unfinished(results...)
			var names []string
			for _, r := range results {
				names = append(names, r.Name)
			}
			p.matches, p.writeErr = matching("demo", names...), down
			before := d.DeepCopy()
			if err := p.Resume(t.Context(), d, false); !errors.Is(err, ErrStillPending) {
				t.Errorf("got %v, want ErrStillPending", err)
			}
			if diff := cmp.Diff(before, d); diff != "" {
				t.Errorf("delivery (-before +after):\n%s", diff)
			}
			if got := updatesIn(p.journal); got != nil || len(p.events) > 0 {
				t.Errorf("got the updates %q and the events %q", got, p.events)
			}
		})
	}
}

// The process that accepted it has terminated, and its progress is unknown.
func TestResume_AfterCrashRetriesAll(t *testing.T) {
	down := unavailable(t)
	d := unfinished()
	if Attempted(d) {
		t.Fatal("it is Attempted")
	}
	p := newDefaultPipeline()
	p.matches, p.atTarget = matching("demo", "a", "b"), map[string]atTarget{"a": {err: down}}
	if err := p.Resume(t.Context(), d, false); !errors.Is(err, ErrStillPending) {
		t.Errorf("got %v, want ErrStillPending", err)
	}
	want := summary{"Pending", "TargetUnavailable",
		"1 written, 0 unchanged, 0 skipped, 0 superseded, 1 pending, 0 failed" + firstUnknown,
		[]string{"a v2.0.0: Pending TargetUnavailable", "b v2.0.0: Written Requested"}}
	if diff := cmp.Diff(want, summaryOf(d.Status)); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"update Pending"}, updatesIn(p.journal)); diff != "" || !Attempted(d) ||
		len(p.events) != 1 {
		t.Errorf("attempted: %t, events %q, updates (-want +got):\n%s", Attempted(d), p.events, diff)
	}
	if !p.requests[0].Retry || !p.requests[1].Retry {
		t.Error("the request is not a retry, so it could overwrite newer ones")
	}
}

func TestResume_RedeliveryStaysRedelivery(t *testing.T) {
	p, d := newDefaultPipeline(), toNamed(unfinished())
	d.Spec.RedeliveryOf = "generic-w"
	if err := p.Resume(t.Context(), d, false); err != nil {
		t.Fatal(err)
	}
	if !p.request.Override || !p.request.Retry {
		t.Errorf("got request %+v, want one with Override", p.request)
	}
}

// A target that hangs must not block the others forever.
func TestResume_IsBounded(t *testing.T) {
	p := newDefaultPipeline()
	p.onStep = func(ctx context.Context, step string) {
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > resumeTimeout {
			t.Errorf("%s has no deadline", step)
		}
	}
	if err := p.Resume(t.Context(), toNamed(unfinished()), false); err != nil {
		t.Fatal(err)
	}
}

func TestResume_ReportedOnlyIfStored(t *testing.T) {
	gone := errors.New("etcd is gone")
	p, d := newDefaultPipeline(), toNamed(unfinished())
	p.onUpdate = func(*postern.WebhookDelivery) error { return gone }
	if err := p.Resume(t.Context(), d, false); !errors.Is(err, gone) || errors.Is(err, ErrStillPending) {
		t.Errorf("got %v, want %v", err, gone)
	}
	if len(p.events) > 0 {
		t.Errorf("got the events %q", p.events)
	}
}
