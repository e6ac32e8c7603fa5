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

	"postern.dev/postern/apis/postern"
)

// gate blocks each write until the test releases it. It must be used in a synctest bubble.
type gate struct {
	begun chan []string // the refs of each write that begins
	let   chan struct{}
}

func newGate() *gate {
	return &gate{begun: make(chan []string), let: make(chan struct{})}
}

// write answers each request with its own ref.
func (g *gate) write(_ context.Context, _ postern.TargetKey, requests []Request) []Result {
	refs, results := []string{}, []Result{}
	for _, r := range requests {
		refs = append(refs, r.Ref)
		results = append(results, Result{Message: r.Ref})
	}
	g.begun <- refs
	<-g.let
	return results
}

// doOne passes one request to the batcher.
func doOne(ctx context.Context, b *batcher, key postern.TargetKey, r Request) (result Result, err error) {
	result = b.do(ctx, key, []Request{r})[0]
	err, result.Err = result.Err, nil
	return result, err
}

// testWrites are requests that a test passes to the batcher.
type testWrites struct {
	batcher *batcher
	done    map[string]chan Result
}

func newTestWrites(b *batcher) testWrites { return testWrites{b, map[string]chan Result{}} }

// add passes requests for a target to the batcher, and waits until they are queued.
func (p testWrites) add(ctx context.Context, key postern.TargetKey, refs ...string) {
	for _, ref := range refs {
		done := make(chan Result, 1)
		p.done[ref] = done
		go func() {
			r := Request{DeliveryEvent: &postern.DeliveryEvent{Ref: ref}}
			done <- p.batcher.do(ctx, key, []Request{r})[0]
		}()
		synctest.Wait()
	}
}

func (p testWrites) expect(t *testing.T, refs ...string) {
	t.Helper()
	for _, ref := range refs {
		if got := <-p.done[ref]; got.Err != nil || got.Message != ref {
			t.Errorf("%s got the result %+v", ref, got)
		}
	}
}

func expectEmpty(t *testing.T, b *batcher) {
	t.Helper()
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.pending) != 0 {
		t.Errorf("targets are left: %v", b.pending)
	}
}

func names(prefix string, count int) []string {
	var refs []string
	for i := range count {
		refs = append(refs, fmt.Sprintf("%s%03d", prefix, i))
	}
	return refs
}

func TestBatcher_BatchIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		batcher := newBatcher(g.write)
		p := newTestWrites(batcher)
		p.add(t.Context(), plant, "first")
		waiting := names("w", maxBatch+3)
		for i, want := range [][]string{{"first"}, waiting[:maxBatch], waiting[maxBatch:], {"last"}} {
			if diff := cmp.Diff(want, <-g.begun); diff != "" {
				t.Errorf("write %d (-want +got):\n%s", i, diff)
			}
			switch i {
			case 0:
				p.add(t.Context(), plant, waiting...)
			case 2:
				p.add(t.Context(), plant, "last")
			}
			g.let <- struct{}{}
		}
		p.expect(t, append(waiting, "first", "last")...)
		expectEmpty(t, batcher)
	})
}

func TestBatcher_DeliveryIsNotSplit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		batcher := newBatcher(g.write)
		p := newTestWrites(batcher)
		p.add(t.Context(), plant, "first")
		<-g.begun
		many := names("m", 3*maxBatch)
		var requests []Request
		for _, ref := range many {
			requests = append(requests, Request{DeliveryEvent: &postern.DeliveryEvent{Ref: ref}})
		}
		done := make(chan []Result, 1)
		p.add(t.Context(), plant, "before")
		go func() { done <- batcher.do(t.Context(), plant, requests) }()
		synctest.Wait()
		p.add(t.Context(), plant, "after")
		for _, want := range [][]string{{"before"}, many, {"after"}} {
			g.let <- struct{}{}
			if diff := cmp.Diff(want, <-g.begun); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
		g.let <- struct{}{}
		for i, result := range <-done {
			if result.Err != nil || result.Message != many[i] {
				t.Errorf("%s got %+v", many[i], result)
			}
		}
		p.expect(t, "first", "before", "after")
		expectEmpty(t, batcher)
	})
}

func TestBatcher_TargetsAreIndependent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		batcher := newBatcher(g.write)
		p := newTestWrites(batcher)
		keys := []postern.TargetKey{plant, shopKey, {Kind: postern.TargetGatewaySync, Namespace: "demo", Name: "shop"},
			{Kind: postern.TargetGatewaySync, Namespace: "other", Name: "plant"}}
		for _, key := range keys {
			p.add(t.Context(), key, key.String())
		}
		for range keys { // all writes have begun, and none is released
			<-g.begun
		}
		close(g.let)
		for _, key := range keys {
			p.expect(t, key.String())
		}
		expectEmpty(t, batcher)
	})
}

func TestBatcher_CanceledBeforeBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		batcher := newBatcher(g.write)
		p := newTestWrites(batcher)
		leaving, leave := context.WithCancel(t.Context())
		p.add(t.Context(), plant, "first")
		p.add(leaving, plant, "gone")
		p.add(t.Context(), plant, "second")
		<-g.begun
		leave()
		if got := <-p.done["gone"]; !IsTransient(got.Err) || !errors.Is(got.Err, context.Canceled) {
			t.Errorf("the canceled request got %+v", got)
		}
		g.let <- struct{}{}
		if diff := cmp.Diff([]string{"second"}, <-g.begun); diff != "" {
			t.Errorf("written after it was canceled (-want +got):\n%s", diff)
		}
		g.let <- struct{}{}
		p.expect(t, "first", "second")
		expectEmpty(t, batcher)
	})
}

func TestBatcher_IdleTargetIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		batcher := newBatcher(g.write)
		p := newTestWrites(batcher)
		leaving, leave := context.WithCancel(t.Context())
		p.add(t.Context(), plant, "first")
		p.add(leaving, plant, names("gone", 3)...)
		<-g.begun
		leave()
		synctest.Wait()
		g.let <- struct{}{}
		p.expect(t, "first")
		expectEmpty(t, batcher)
	})
}

func TestBatcher_CanceledDuringWriteIsTransient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		batcher := newBatcher(g.write)
		p := newTestWrites(batcher)
		hurried, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		p.add(hurried, plant, "hurried")
		<-g.begun
		got := <-p.done["hurried"]
		const want = "could not write GatewaySync demo/plant in time: context deadline exceeded"
		if !IsTransient(got.Err) || got.Err.Error() != want {
			t.Errorf("got %v, want %s", got.Err, want)
		}
		p.add(t.Context(), plant, "next")
		g.let <- struct{}{}
		if diff := cmp.Diff([]string{"next"}, <-g.begun); diff != "" {
			t.Errorf("the next request was not written (-want +got):\n%s", diff)
		}
		g.let <- struct{}{}
		p.expect(t, "next")
		expectEmpty(t, batcher)
	})
}

func TestBatcher_PanicFailsBatchOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		batcher := newBatcher(func(ctx context.Context, key postern.TargetKey, requests []Request) []Result {
			results := g.write(ctx, key, requests)
			if strings.HasPrefix(requests[0].Ref, "bad") {
				panic("index out of range")
			}
			return results
		})
		p := newTestWrites(batcher)
		p.add(t.Context(), plant, "first")
		<-g.begun
		bad := names("bad", 3)
		p.add(t.Context(), plant, bad...)
		g.let <- struct{}{}
		<-g.begun
		p.add(t.Context(), plant, "last")
		g.let <- struct{}{}
		for _, ref := range bad {
			got := <-p.done[ref]
			const want = "could not write GatewaySync demo/plant: internal error, see Postern's log"
			if got.Err == nil || got.Err.Error() != want || IsTransient(got.Err) {
				t.Errorf("%s got %v, want %s", ref, got.Err, want)
			}
		}
		<-g.begun
		g.let <- struct{}{}
		p.expect(t, "first", "last")
		expectEmpty(t, batcher)
	})
}
