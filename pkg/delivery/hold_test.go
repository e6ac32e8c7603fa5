// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
)

var onHold = target.Result{OnHold: true, Reason: target.ReasonHeld, Message: "held (a freeze)"}

// heldRecord is a delivery of v2.0.0 that is held at the Application shop.
func heldRecord(name string, receivedAfter time.Duration) *postern.WebhookDelivery {
	d := &postern.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name, UID: types.UID("uid of " + name)},
		Spec: postern.WebhookDeliverySpec{
			Source: "generic", Target: &postern.TargetReference{Kind: postern.TargetApplication, Name: "shop"},
			Events: []postern.DeliveryEvent{{Source: "generic", Ref: "v2.0.0"}},
		},
	}
	d.Status.ReceivedTime = &metav1.MicroTime{Time: received.Add(receivedAfter)}
	d.Status.Sender = &postern.Sender{Name: ci.Name, Method: "ServiceAccount"}
	results := []postern.TargetResult{{
		Kind: postern.TargetApplication, Name: "shop", Ref: "v2.0.0", Result: postern.TargetHeld,
		Reason: target.ReasonHeld, Message: onHold.Message, Time: metav1.NewTime(now.Add(-time.Hour)),
	}}
	setOutcome(d, results, now.Add(-time.Hour))
	return d
}

var shopKey = postern.TargetKey{Kind: postern.TargetApplication, Namespace: "demo", Name: "shop"}

func TestHold_OutcomeOfResults(t *testing.T) {
	result := func(kind postern.TargetResultType) postern.TargetResult {
		return postern.TargetResult{Kind: postern.TargetApplication, Name: string(kind), Result: kind,
			Reason: string(kind), Message: "because"}
	}
	for want, results := range map[postern.DeliveryPhase][]postern.TargetResult{
		postern.DeliveryPending: {result(postern.TargetHeld), result(postern.TargetPending)},
		postern.DeliveryHeld: {
			result(postern.TargetWritten), result(postern.TargetHeld), result(postern.TargetFailed),
		},
		postern.DeliveryFailed: {result(postern.TargetWritten), result(postern.TargetFailed)},
	} {
		d := &postern.WebhookDelivery{}
		setOutcome(d, results, now)
		if d.Status.Phase != want || meta.IsStatusConditionTrue(d.Status.Conditions, postern.ConditionApplied) {
			t.Errorf("got %+v, want %s", d.Status, want)
		}
		held := meta.IsStatusConditionTrue(d.Status.Conditions, postern.ConditionHeld)
		if held != (want != postern.DeliveryFailed) {
			t.Errorf("%s: the condition Held is %t", want, held)
		}
	}
}

// heldThere returns the given deliveries as those that are held at any target.
func heldThere(deliveries ...*postern.WebhookDelivery) func(postern.TargetKey) []*postern.WebhookDelivery {
	return func(postern.TargetKey) []*postern.WebhookDelivery { return slices.Clone(deliveries) }
}

// newHoldPipeline returns a pipeline whose storage can't be read, so that deliveries are taken as they are given.
func newHoldPipeline(t *testing.T) *pipeline {
	p := newDefaultPipeline()
	p.onGet = func() (*postern.WebhookDelivery, error) { return nil, unavailable(t) }
	return p
}

// The cache of held deliveries may be behind: what the storage has counts.
func TestSettle_ReadsTheStorage(t *testing.T) {
	isSuperseded := heldRecord("push", 0)
	isSuperseded.Status.Targets[0].Result = postern.TargetSuperseded
	setOutcome(isSuperseded, isSuperseded.Status.Targets, now)
	another := heldRecord("push", 0)
	another.UID = "of another delivery with its name"
	isPending := heldRecord("push", 0) // at one target, and held at another
	isPending.Status.Targets = slices.Repeat(isPending.Status.Targets, 2)
	isPending.Status.Targets[0].Name, isPending.Status.Targets[0].Result = "blog", postern.TargetPending
	setOutcome(isPending, isPending.Status.Targets, now)
	for name, stored := range map[string]*postern.WebhookDelivery{
		"settled": isSuperseded, "deleted": nil, "replaced": another, "pending": isPending,
	} {
		p := newHoldPipeline(t)
		p.outcome = written
		p.onGet = func() (*postern.WebhookDelivery, error) {
			if stored == nil {
				return nil, apierrors.NewNotFound(postern.Resource("webhookdeliveries"), "push")
			}
			return stored, nil
		}
		if err := p.Settle(t.Context(), shopKey, heldThere(heldRecord("push", 0))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if journal := strings.Join(p.journal, "\n"); strings.Contains(journal, "write") ||
			strings.Contains(journal, "update") {
			t.Errorf("%s: got %q, want no write", name, p.journal)
		}
	}
}

func TestSettle(t *testing.T) {
	for name, test := range map[string]struct {
		outcome    atTarget
		resolveErr error
		want       postern.DeliveryPhase
		reason     string
		unchanged  bool
	}{
		"still held": {outcome: atTarget{outcome: onHold}, want: postern.DeliveryHeld, reason: "Held", unchanged: true},
		"released": {outcome: atTarget{outcome: target.Result{Held: true, Reason: target.ReasonRequested,
			Changes: []target.Change{{Field: "ref", New: "v2.0.0"}}}}, want: postern.DeliveryApplied,
			reason: "Requested"},
		"replaced": {outcome: atTarget{outcome: target.Result{Reason: target.ReasonSuperseded}},
			want: postern.DeliverySuperseded, reason: "Superseded"},
		"deleted": {resolveErr: apierrors.NewNotFound(postern.Resource("applications"), "shop"),
			want: postern.DeliveryFailed, reason: ReasonTargetGone},
	} {
		t.Run(name, func(t *testing.T) {
			p := newHoldPipeline(t)
			p.atTarget, p.resolveErr = map[string]atTarget{"shop": test.outcome}, test.resolveErr
			record := heldRecord("first", 0)
			before := record.DeepCopy()
			if err := p.Settle(t.Context(), shopKey, heldThere(record)); err != nil {
				t.Fatal(err)
			}
			if record.Status.Phase != test.want || record.Status.Reason != test.reason {
				t.Errorf("got %+v", record.Status)
			}
			updated := strings.Contains(strings.Join(p.journal, "\n"), "update")
			if updated == test.unchanged ||
				test.unchanged && !record.Status.Targets[0].Time.Equal(&before.Status.Targets[0].Time) {
				t.Errorf("updated: %t: %q", updated, p.journal)
			}
			if held := meta.FindStatusCondition(record.Status.Conditions, postern.ConditionHeld); held == nil ||
				(held.Status == metav1.ConditionTrue) != (test.want == postern.DeliveryHeld) {
				t.Errorf("got the conditions %+v", record.Status.Conditions)
			}
			if test.resolveErr == nil && !p.request.Released {
				t.Error("a rollback before the release would hold it again")
			}
		})
	}
}

// What newer ones replace is superseded although the target is still held.
func TestSettle_SupersedesAtOnce(t *testing.T) {
	p := newHoldPipeline(t)
	p.atTarget = map[string]atTarget{"shop": {outcome: onHold}}
	newer, older := heldRecord("newer", time.Second), heldRecord("older", 0)
	if err := p.Settle(t.Context(), shopKey, heldThere(newer, older)); err != nil {
		t.Fatal(err)
	}
	if older.Status.Phase != postern.DeliverySuperseded || newer.Status.Phase != postern.DeliveryHeld {
		t.Errorf("got %+v and %+v", older.Status, newer.Status)
	}
}

// A delivery that is replaced at many targets is stored once, and others that are held with it are left alone.
func TestSettle_StoresOnce(t *testing.T) {
	p := newHoldPipeline(t)
	names := []string{"blog", "cart", "shop"}
	p.matches, p.atTarget = matching("demo", names...), map[string]atTarget{}
	heldAtAll := func(name string, receivedAfter time.Duration, names ...string) *postern.WebhookDelivery {
		d := heldRecord(name, receivedAfter)
		d.Spec.Target = nil
		results := make([]postern.TargetResult, len(names))
		for i, name := range names {
			p.atTarget[name] = atTarget{outcome: onHold}
			results[i] = d.Status.Targets[0]
			results[i].Name = name
		}
		setOutcome(d, results, now.Add(-time.Hour))
		return d
	}
	older, newer := heldAtAll("older", 0, names...), heldAtAll("newer", time.Second, names...)
	other := heldAtAll("other", time.Minute, "docs")
	heldAt := func(key postern.TargetKey) []*postern.WebhookDelivery {
		if key.Name == "docs" {
			return []*postern.WebhookDelivery{other}
		}
		return []*postern.WebhookDelivery{newer, older}
	}
	if err := p.Settle(t.Context(), shopKey, heldAt); err != nil {
		t.Fatal(err)
	}
	if older.Status.Phase != postern.DeliverySuperseded || newer.Status.Phase != postern.DeliveryHeld {
		t.Errorf("got %+v and %+v", older.Status, newer.Status)
	}
	if updates := strings.Count(strings.Join(p.journal, "\n"), "update"); updates != 1 {
		t.Errorf("got %d updates, want 1: %q", updates, p.journal)
	}
}

// A delivery that could not be written to one target after its release is still held at another.
func TestSettle_PendingIsStillHeldElsewhere(t *testing.T) {
	p := newHoldPipeline(t)
	p.matches = matching("demo", "cart", "shop")
	p.atTarget = map[string]atTarget{"cart": {outcome: onHold}, "shop": {err: unavailable(t)}}
	d := heldRecord("push", 0)
	d.Spec.Target = nil
	results := slices.Repeat(d.Status.Targets, 2)
	results[0].Name = "cart"
	setOutcome(d, results, now.Add(-time.Hour))
	if err := p.Settle(t.Context(), shopKey, heldThere(d)); err != nil {
		t.Fatal(err)
	}
	held := meta.IsStatusConditionTrue(d.Status.Conditions, postern.ConditionHeld)
	if d.Status.Phase != postern.DeliveryPending || !held {
		t.Errorf("got %+v", d.Status)
	}
}

// Targets that are released together are written together, and the record is stored once.
func TestSettle_ReleasesTogether(t *testing.T) {
	p := newHoldPipeline(t)
	p.matches = matching("demo", "blog", "cart", "shop")
	p.atTarget = map[string]atTarget{"cart": {outcome: onHold}, "blog": {outcome: written}, "shop": {outcome: written}}
	d := heldRecord("push", 0)
	d.Spec.Target = nil
	results := slices.Repeat(d.Status.Targets, 3)
	for i, name := range []string{"blog", "cart", "shop"} {
		results[i].Name = name
	}
	setOutcome(d, results, now.Add(-time.Hour))
	if err := p.Settle(t.Context(), shopKey, heldThere(d)); err != nil {
		t.Fatal(err)
	}
	var got []postern.TargetResultType
	for _, r := range d.Status.Targets {
		got = append(got, r.Result)
	}
	want := []postern.TargetResultType{postern.TargetWritten, postern.TargetHeld, postern.TargetWritten}
	if updates := strings.Count(strings.Join(p.journal, "\n"), "update"); !slices.Equal(got, want) || updates != 1 {
		t.Errorf("got %v with %d updates, want %v with 1: %q", got, updates, want, p.journal)
	}
}

// A target that can't be written at its release is retried like any pending delivery, from the release on.
func TestSettle_TransientFailureIsPending(t *testing.T) {
	p := newHoldPipeline(t)
	p.atTarget = map[string]atTarget{"shop": {err: unavailable(t)}}
	record := heldRecord("first", 0)
	if err := p.Settle(t.Context(), shopKey, heldThere(record)); err != nil {
		t.Fatal(err)
	}
	if record.Status.Phase != postern.DeliveryPending || !HeldSince(record).Equal(now.Truncate(time.Second)) {
		t.Errorf("got %+v", record.Status)
	}
}

func TestSettle_StorageError(t *testing.T) {
	p := newHoldPipeline(t)
	lost := errors.New("etcd is gone")
	p.onUpdate = func(*postern.WebhookDelivery) error { return lost }
	settle := func() error {
		return p.Settle(t.Context(), shopKey, heldThere(heldRecord("first", 0)))
	}
	if err := settle(); !errors.Is(err, lost) {
		t.Errorf("got %v", err)
	}
	p.onUpdate = func(d *postern.WebhookDelivery) error {
		return apierrors.NewConflict(postern.Resource("webhookdeliveries"), d.Name, lost)
	}
	if err := settle(); !apierrors.IsConflict(err) {
		t.Errorf("got %v, want to be called again with what has changed", err)
	}
}

func TestHeldSince_IgnoresOlderMeaning(t *testing.T) {
	d := &postern.WebhookDelivery{}
	setCondition(d, postern.ConditionHeld, metav1.ConditionFalse, ReasonTakenBack, "another client changed it", now)
	if since := HeldSince(d); !since.IsZero() {
		t.Errorf("got %v", since)
	}
}

var written = target.Result{Held: true, Reason: target.ReasonRequested,
	Changes: []target.Change{{Field: "ref", New: "v2.0.0"}}}

// A target that is released gets what it waits for although another target of the delivery can't be written yet.
func TestHold_ReleasedWhilePending(t *testing.T) {
	p := newHoldPipeline(t)
	p.matches = matching("demo", "down", "shop")
	p.atTarget = map[string]atTarget{"down": {err: unavailable(t)}, "shop": {outcome: onHold}}
	d, err := p.Deliver(t.Context(), toAll(), pushOf(t, 1), false)
	if err != nil {
		t.Fatal(err)
	}
	p.Drain()
	retry := func(wantAtShop postern.TargetResultType) {
		t.Helper()
		if err := p.Resume(t.Context(), d, false); !errors.Is(err, ErrStillPending) {
			t.Fatalf("got %v", err)
		}
		if at := d.Status.Targets; at[0].Result != postern.TargetPending || at[1].Result != wantAtShop {
			t.Fatalf("got %+v", at)
		}
	}
	before := d.DeepCopy()
	retry(postern.TargetHeld)
	if diff := cmp.Diff(before, d); diff != "" {
		t.Errorf("a retry without progress changes the record (-before +after):\n%s", diff)
	}
	p.resolveErr, p.matches = nil, func(target.Request) ([]target.Match, error) { return nil, unavailable(t) }
	retry(postern.TargetHeld)
	p.matches, p.atTarget["shop"] = matching("demo", "down", "shop"), atTarget{outcome: written}
	retry(postern.TargetWritten)
	if meta.IsStatusConditionTrue(d.Status.Conditions, postern.ConditionHeld) {
		t.Errorf("got %+v", d.Status.Conditions)
	}
}

// What can't be read is not said to be released, and is tried again.
func TestSettle_UnreadableStaysHeld(t *testing.T) {
	for name, arrange := range map[string]func(*pipeline){
		"target":        func(p *pipeline) { p.contestErr = unavailable(t) },
		"search for it": func(p *pipeline) { p.resolveErr = unavailable(t) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newHoldPipeline(t)
			arrange(p)
			record := heldRecord("first", 0)
			before := record.DeepCopy()
			err := p.Settle(t.Context(), shopKey, heldThere(record))
			if diff := cmp.Diff(before, record); diff != "" || err == nil || len(p.events) > 0 {
				t.Errorf("got %v and the Events %q; the record (-before +after):\n%s", err, p.events, diff)
			}
		})
	}
}

// A delivery that can't be written once it is released says why, and no longer that it is held.
func TestSettle_PendingSaysWhy(t *testing.T) {
	p := newHoldPipeline(t)
	p.atTarget = map[string]atTarget{"shop": {err: unavailable(t)}}
	record := heldRecord("first", 0)
	if err := p.Settle(t.Context(), shopKey, heldThere(record)); err != nil {
		t.Fatal(err)
	}
	r := record.Status.Targets[0]
	if r.Reason != ReasonTargetUnavailable || strings.Contains(record.Status.Message, "held (") || len(p.events) > 0 {
		t.Errorf("got %+v, %q, and the Events %q", r, record.Status.Message, p.events)
	}
}

// A record for whose results there was no room is found by every release in the namespace, and does not lose its own
// hold.
func TestHeldTargets_WithoutResults(t *testing.T) {
	record := heldRecord("first", 0)
	record.Annotations = map[string]string{postern.AnnotationHold: "awaits approval", "note": "a"}
	withoutAnnotations(record)
	if why := holdOf(record); why != "awaits approval" || len(record.Annotations) != 1 {
		t.Errorf("got the annotations %v", record.Annotations)
	}
	if keys, all := HeldTargets(record); len(keys) > 0 || all {
		t.Errorf("got %v, all: %t", keys, all)
	}
}

// Deliveries to more targets than a record lists are stored again only if something has changed: each update settles
// them once more.
func TestSettle_WideIsStable(t *testing.T) {
	var names []string
	for i := range maxResults + 200 {
		names = append(names, fmt.Sprintf("app%04d", i))
	}
	p := newHoldPipeline(t)
	p.matches = matching("demo", names...)
	p.outcome = written
	p.atTarget = map[string]atTarget{}
	for i := 0; i < len(names); i += 2 {
		p.atTarget[names[i]] = atTarget{outcome: onHold}
	}
	d, err := p.Deliver(t.Context(), toAll(), pushOf(t, 1), false)
	if err != nil {
		t.Fatal(err)
	}
	p.Drain()
	settle := func() {
		t.Helper()
		everywhere := postern.TargetKey{Namespace: "demo"}
		if err := p.Settle(t.Context(), everywhere, heldThere(d)); err != nil {
			t.Fatal(err)
		}
	}
	for try := range 3 {
		before := d.DeepCopy()
		settle()
		if diff := cmp.Diff(before.Status, d.Status); diff != "" {
			t.Fatalf("try %d (-before +after):\n%s", try, diff)
		}
	}
	p.atTarget = nil
	settle()
	if d.Status.Phase != postern.DeliveryApplied {
		t.Errorf("got %s: %s", d.Status.Phase, d.Status.Message)
	}
}
