// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"net/http"
	"sync"
	"testing"
	"time"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern"
)

// wall is a wall clock that tests set.
type wall struct{ time.Time }

func (w *wall) now() time.Time { return w.Time }

// midday is a wall clock at noon, to the microsecond.
func midday() *wall { return &wall{noon.UTC().Truncate(time.Microsecond)} }

func TestClock_IsMonotonic(t *testing.T) {
	at := midday()
	clock := NewClock(at.now)
	last := clock.Stamp()
	if !last.Equal(at.Time) || last.Location() != time.UTC {
		t.Errorf("the first stamp is %s, want %s", last, at.Time)
	}
	for _, step := range []time.Duration{
		0, time.Nanosecond, -time.Second, -time.Hour, time.Minute, time.Hour, 2 * time.Hour,
	} {
		at.Time = at.Add(step)
		stamp := clock.Stamp()
		if !stamp.After(last) {
			t.Errorf("after a step of %s: %s is not later than %s", step, stamp, last)
		}
		if !stamp.Equal(stamp.Truncate(time.Microsecond)) {
			t.Errorf("after a step of %s: JSON does not keep all of %s", step, stamp)
		}
		last = stamp
	}
	if !last.Equal(at.Truncate(time.Microsecond)) {
		t.Errorf("the last stamp is %s, want the wall clock's %s", last, at)
	}
}

func TestClock_LaterThanObserved(t *testing.T) {
	for _, test := range []struct {
		name     string
		observed time.Duration
		accepted bool
	}{
		{"long ago", -time.Hour, false},
		{"a little ahead", 500*time.Millisecond + 256, true},
		{"a minute ahead", time.Minute, true},
		{"further ahead", time.Minute + 1, false},
		{"centuries ahead", 200 * 365 * 24 * time.Hour, false},
	} {
		at := midday()
		clock := NewClock(at.now)
		observed := at.Add(test.observed)
		clock.Observe(observed)
		stamp := clock.Stamp()
		if later := stamp.After(observed) && observed.After(at.Time); later != test.accepted {
			t.Errorf("%s: stamped %s after %s was observed", test.name, stamp, observed)
		}
		if !test.accepted && !stamp.Equal(at.Time) {
			t.Errorf("%s: stamped %s, want %s", test.name, stamp, at)
		}
	}
}

// An owner of targets who writes receipts one after the other must not advance the clock further.
func TestClock_ObservedLeadIsBounded(t *testing.T) {
	at := midday()
	clock := NewClock(at.now)
	for ahead := range 1000 {
		clock.Observe(at.Add(time.Duration(ahead) * time.Second))
		clock.Observe(clock.maxReceived())
	}
	if stamp := clock.Stamp(); stamp.After(at.Add(maxClockSkew + time.Millisecond)) {
		t.Errorf("stamped %s at %s", stamp, at)
	}
}

func TestClock_ConcurrentStampsDiffer(t *testing.T) {
	clock := NewClock(midday().now)
	stamps := make([]time.Time, 1000)
	var running sync.WaitGroup
	for i := range stamps {
		running.Go(func() { stamps[i] = clock.Stamp() })
	}
	running.Wait()
	seen := map[time.Time]bool{}
	for _, stamp := range stamps {
		if seen[stamp] {
			t.Fatalf("%s was given twice", stamp)
		}
		seen[stamp] = true
	}
}

func TestClock_SetBackAmbiguousFailure(t *testing.T) {
	for name, restarted := range map[string]bool{"in one process": false, "across a restart": true} {
		t.Run(name, func(t *testing.T) {
			api := newFakeAPIServer(t, plantAt("v0"))
			api.before = func(_ *fakeAPIServer, method string, n int) *answer {
				if method == http.MethodPatch && n == 2 {
					return unavailable // without applying it
				}
				return nil
			}
			at := midday()
			writer, _ := newTestWriter(t, api, nil)
			writer.clock = NewClock(at.now)
			if _, err := writeOne(t.Context(), writer, plant, received(writer, "v1"), false); err != nil {
				t.Fatal(err)
			}
			at.Time = at.Add(-30 * time.Second)
			if restarted {
				writer, _ = newTestWriter(t, api, nil)
				writer.clock = NewClock(at.now)
				_, document := api.seen()
				// as the cache does for every target
				writer.clock.observeObject(parse(t, postern.TargetGatewaySync, document))
			}
			got, err := writeOne(t.Context(), writer, plant, received(writer, "v2"), false)
			if err != nil || got.Reason != ReasonRequested {
				t.Errorf("got %+v, %v; want Requested", got, err)
			}
		})
	}
}

func TestClock_CacheObservesTargets(t *testing.T) {
	ahead := time.Now().UTC().Add(maxClockSkew / 2)
	api := newFakeAPIServer(t, plantAt("v1"))
	document := mustApply(t, plantAt("v1"), []operation{{Op: "add", Path: annotationPath(AnnotationEventTime),
		Value: watermarkSet{slotGit: {By: "github", Received: ahead}}.String()}})
	api.serve(gatewaySyncs, &answer{text: document})
	cache := startCache(t, api)
	writer, _ := newTestWriter(t, api, cache)
	eventually(t, "filled", func() bool { return cachedRef(cache) == "v1" })
	if stamp := writer.Stamp(); !stamp.After(ahead) {
		t.Errorf("stamped %s after a target with the receipt %s", stamp, ahead)
	}
}

// The receipt is from a clock that was wrong, or from an owner. It must not block later deliveries.
func TestClock_ImpossibleReceiptIsIgnored(t *testing.T) {
	for name, ahead := range map[string]time.Duration{
		"a little ahead": maxClockSkew / 2, "too far ahead": 2 * maxClockSkew,
	} {
		at := midday()
		document := mustApply(t, plantAt("v1"), []operation{{Op: "add", Path: annotationPath(AnnotationEventTime),
			Value: watermarkSet{slotGit: {By: "kargo", Received: at.Add(ahead)}}.String()}})
		writer, _ := newTestWriter(t, newFakeAPIServer(t, document), nil)
		writer.clock = NewClock(at.now)
		r := received(writer, "v2")
		want := ReasonRequested
		if ahead < maxClockSkew {
			want = ReasonSuperseded
		}
		if got, err := writeOne(t.Context(), writer, plant, r, false); err != nil || got.Reason != want {
			t.Errorf("%s: got %+v, %v; want %s", name, got, err, want)
		}
	}
}

// A stamp from before the wall clock was set back is plausible to the process that made it.
func TestClock_OrderAfterLargeStepBack(t *testing.T) {
	at := midday()
	writer, _ := newTestWriter(t, newFakeAPIServer(t, plantAt("v0")), nil)
	writer.clock = NewClock(at.now)
	slow := received(writer, "v1")
	at.Time = at.Add(10 * time.Minute)
	if _, err := writeOne(t.Context(), writer, plant, received(writer, "v2"), false); err != nil {
		t.Fatal(err)
	}
	at.Time = at.Add(-24 * time.Hour)
	if got, err := writeOne(t.Context(), writer, plant, slow, false); err != nil || got.Reason != ReasonSuperseded {
		t.Errorf("got %+v, %v; want Superseded", got, err)
	}
	if got, err := writeOne(t.Context(), writer, plant, received(writer, "v3"), false); err != nil ||
		got.Reason != ReasonRequested {
		t.Errorf("received after the step: got %+v, %v; want Requested", got, err)
	}
}

func TestClock_OtherRepositoriesAreOrderedByReceipt(t *testing.T) {
	target := orderedTargets["Application that moves"]
	of := withRepository
	for _, test := range []struct {
		name  string
		first Request
		r     Request
		want  string
	}{
		{"received before", of("https://git.acme.io/values", event("v1", "github", 0, 20)),
			of("https://git.acme.io/shop", event("v2", "github", 0, 19)), ReasonSuperseded},
		{"received after", of("https://git.acme.io/values", event("v1", "github", 0, 20)),
			of("https://git.acme.io/shop", event("v2", "github", 0, 21)), ReasonRequested},
		{"received before, happened after", of("https://git.acme.io/values", event("v1", "github", 5, 20)),
			of("https://git.acme.io/shop", event("v2", "github", 6, 19)), ReasonRequested},
		{"received after, happened before", of("https://git.acme.io/values", event("v1", "github", 5, 20)),
			of("https://git.acme.io/shop", event("v2", "github", 4, 21)), ReasonRequested},
		{"received before, on purpose", of("https://git.acme.io/values", event("v1", "github", 0, 20)),
			onPurpose(of("https://git.acme.io/shop", event("v2", "github", 0, 19))), ReasonRequested},
		{"received before, of no repository", of("https://git.acme.io/shop", event("v1", "github", 0, 20)),
			event("v2", "generic", 0, 19), ReasonSuperseded},
	} {
		after, reasons := oneByOne(t, target.kind, target.document, test.first, test.r)
		if reasons[1] != test.want {
			t.Errorf("%s: got %s, want %s", test.name, reasons[1], test.want)
		}
		app := parse(t, target.kind, after).(*argov1alpha1.Application)
		if want := map[string]string{ReasonRequested: "v2",
			ReasonSuperseded: "v1"}[test.want]; *app.Spec.Source.TargetRevision != want {
			t.Errorf("%s: targetRevision is %s, want %s", test.name, *app.Spec.Source.TargetRevision, want)
		}
	}
}
