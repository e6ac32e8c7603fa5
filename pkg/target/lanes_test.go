// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// gate holds each write until the test lets it go. It is for use within a bubble.
type gate struct {
	begun chan []string // the refs of each write that begins
	let   chan struct{}
}

func newGate() *gate {
	return &gate{begun: make(chan []string), let: make(chan struct{})}
}

// write answers each request with its own ref.
func (g *gate) write(_ context.Context, _ Key, requests []Request) []Result {
	refs, results := []string{}, []Result{}
	for _, r := range requests {
		refs = append(refs, r.Ref)
		results = append(results, Result{Outcome: Outcome{Message: r.Ref}})
	}
	g.begun <- refs
	<-g.let
	return results
}

// doOne takes one request through the lanes.
func doOne(ctx context.Context, l *lanes, key Key, r Request) (Outcome, error) {
	result := l.do(ctx, key, []Request{r})[0]
	return result.Outcome, result.Err
}

// passengers are requests that a test takes through the lanes.
type passengers struct {
	lanes *lanes
	done  map[string]chan Result
}

func newPassengers(l *lanes) passengers { return passengers{l, map[string]chan Result{}} }

// enter takes requests through the lane of a target, and waits until they are in it.
func (p passengers) enter(ctx context.Context, key Key, refs ...string) {
	for _, ref := range refs {
		done := make(chan Result, 1)
		p.done[ref] = done
		go func() {
			outcome, err := doOne(ctx, p.lanes, key, Request{Ref: ref})
			done <- Result{outcome, err}
		}()
		synctest.Wait()
	}
}

func (p passengers) expect(t *testing.T, refs ...string) {
	t.Helper()
	for _, ref := range refs {
		if got := <-p.done[ref]; got.Err != nil || got.Outcome.Message != ref {
			t.Errorf("%s got the result %+v", ref, got)
		}
	}
}

func expectEmpty(t *testing.T, l *lanes) {
	t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) != 0 {
		t.Errorf("lanes are left: %v", l.waiting)
	}
}

func names(prefix string, count int) []string {
	var refs []string
	for i := range count {
		refs = append(refs, fmt.Sprintf("%s%03d", prefix, i))
	}
	return refs
}

func TestAllWhoWaitGoTogetherUpToABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		lanes := newLanes(g.write)
		p := newPassengers(lanes)
		p.enter(t.Context(), plant, "first")
		waiting := names("w", maxTogether+3)
		for i, want := range [][]string{{"first"}, waiting[:maxTogether], waiting[maxTogether:], {"last"}} {
			if diff := cmp.Diff(want, <-g.begun); diff != "" {
				t.Errorf("write %d (-want +got):\n%s", i, diff)
			}
			switch i {
			case 0:
				p.enter(t.Context(), plant, waiting...)
			case 2:
				p.enter(t.Context(), plant, "last")
			}
			g.let <- struct{}{}
		}
		p.expect(t, append(waiting, "first", "last")...)
		expectEmpty(t, lanes)
	})
}

func TestWhatOneDeliveryAsksGoesTogetherHoweverMuchItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		lanes := newLanes(g.write)
		p := newPassengers(lanes)
		p.enter(t.Context(), plant, "first")
		<-g.begun
		many := names("m", 3*maxTogether)
		var requests []Request
		for _, ref := range many {
			requests = append(requests, Request{Ref: ref})
		}
		done := make(chan []Result, 1)
		p.enter(t.Context(), plant, "before")
		go func() { done <- lanes.do(t.Context(), plant, requests) }()
		synctest.Wait()
		p.enter(t.Context(), plant, "after")
		for _, want := range [][]string{{"before"}, many, {"after"}} {
			g.let <- struct{}{}
			if diff := cmp.Diff(want, <-g.begun); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
		g.let <- struct{}{}
		for i, result := range <-done {
			if result.Err != nil || result.Outcome.Message != many[i] {
				t.Errorf("%s got %+v", many[i], result)
			}
		}
		p.expect(t, "first", "before", "after")
		expectEmpty(t, lanes)
	})
}

func TestTargetsDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		lanes := newLanes(g.write)
		p := newPassengers(lanes)
		keys := []Key{plant, shopKey, {KindGatewaySync, "demo", "shop"}, {KindGatewaySync, "other", "plant"}}
		for _, key := range keys {
			p.enter(t.Context(), key, key.String())
		}
		for range keys { // all are under way, and none is let go
			<-g.begun
		}
		close(g.let)
		for _, key := range keys {
			p.expect(t, key.String())
		}
		expectEmpty(t, lanes)
	})
}

func TestWhoLeavesBeforeSettingOffIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		lanes := newLanes(g.write)
		p := newPassengers(lanes)
		leaving, leave := context.WithCancel(t.Context())
		p.enter(t.Context(), plant, "first")
		p.enter(leaving, plant, "gone")
		p.enter(t.Context(), plant, "second")
		<-g.begun
		leave()
		if got := <-p.done["gone"]; !IsTransient(got.Err) || !errors.Is(got.Err, context.Canceled) {
			t.Errorf("who leaves got %+v", got)
		}
		g.let <- struct{}{}
		if diff := cmp.Diff([]string{"second"}, <-g.begun); diff != "" {
			t.Errorf("written after it left (-want +got):\n%s", diff)
		}
		g.let <- struct{}{}
		p.expect(t, "first", "second")
		expectEmpty(t, lanes)
	})
}

func TestALaneFromWhichAllHaveLeftIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		lanes := newLanes(g.write)
		p := newPassengers(lanes)
		leaving, leave := context.WithCancel(t.Context())
		p.enter(t.Context(), plant, "first")
		p.enter(leaving, plant, names("gone", 3)...)
		<-g.begun
		leave()
		synctest.Wait()
		g.let <- struct{}{}
		p.expect(t, "first")
		expectEmpty(t, lanes)
	})
}

func TestWhoLeavesDuringTheWriteIsToldThatItMayBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		lanes := newLanes(g.write)
		p := newPassengers(lanes)
		hurried, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		p.enter(hurried, plant, "hurried")
		<-g.begun
		got := <-p.done["hurried"]
		const want = "could not write GatewaySync demo/plant in time: context deadline exceeded"
		if !IsTransient(got.Err) || got.Err.Error() != want {
			t.Errorf("got %v, want %s", got.Err, want)
		}
		p.enter(t.Context(), plant, "next")
		g.let <- struct{}{}
		if diff := cmp.Diff([]string{"next"}, <-g.begun); diff != "" {
			t.Errorf("the lane did not go on (-want +got):\n%s", diff)
		}
		g.let <- struct{}{}
		p.expect(t, "next")
		expectEmpty(t, lanes)
	})
}

func TestAPanicIsTheErrorOfAllWhoGoTogetherAndTheLaneGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		lanes := newLanes(func(ctx context.Context, key Key, requests []Request) []Result {
			results := g.write(ctx, key, requests)
			if strings.HasPrefix(requests[0].Ref, "bad") {
				panic("index out of range")
			}
			return results
		})
		p := newPassengers(lanes)
		p.enter(t.Context(), plant, "first")
		<-g.begun
		bad := names("bad", 3)
		p.enter(t.Context(), plant, bad...)
		g.let <- struct{}{}
		<-g.begun
		p.enter(t.Context(), plant, "last")
		g.let <- struct{}{}
		for _, ref := range bad {
			got := <-p.done[ref]
			const want = "could not write GatewaySync demo/plant: a mistake in Postern, see its log"
			if got.Err == nil || got.Err.Error() != want || IsTransient(got.Err) {
				t.Errorf("%s got %v, want %s", ref, got.Err, want)
			}
		}
		<-g.begun
		g.let <- struct{}{}
		p.expect(t, "first", "last")
		expectEmpty(t, lanes)
	})
}
