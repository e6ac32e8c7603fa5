// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"postern.dev/postern/apis/postern"
)

type contextKey struct{}

func TestBatcher_LatestDeadline(t *testing.T) {
	now := time.Now()
	in := func(d time.Duration) context.Context {
		ctx, cancel := context.WithDeadline(t.Context(), now.Add(d))
		t.Cleanup(cancel)
		return ctx
	}
	for _, test := range []struct {
		name string
		of   []context.Context
		want time.Duration // zero if it has none
	}{
		{"one", []context.Context{in(time.Hour)}, time.Hour},
		{"the latest", []context.Context{in(time.Hour), in(3 * time.Hour), in(2 * time.Hour)}, 3 * time.Hour},
		{"no deadline, if one request has none", []context.Context{in(time.Hour), t.Context(), in(2 * time.Hour)}, 0},
	} {
		var together []*pendingWrite
		for _, ctx := range test.of {
			together = append(together, &pendingWrite{ctx: ctx})
		}
		ctx, cancel := batchContext(together)
		got, ok := ctx.Deadline()
		if ok != (test.want != 0) || ok && !got.Equal(now.Add(test.want)) {
			t.Errorf("%s: got %v, %v", test.name, got, ok)
		}
		cancel()
		if ctx.Err() == nil {
			t.Errorf("%s: the context is still valid after the write", test.name)
		}
	}
}

func TestBatcher_CanceledCallerDoesNotStopWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, leave := context.WithCancel(context.WithValue(t.Context(), contextKey{}, "kept"))
		defer leave()
		second, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		for _, others := range [][]*pendingWrite{nil, {{ctx: second}}} {
			ctx, done := batchContext(append([]*pendingWrite{{ctx: first}}, others...))
			defer done()
			leave()
			if ctx.Err() != nil {
				t.Errorf("with %d others the write ended: %v", len(others), ctx.Err())
			}
			if ctx.Value(contextKey{}) != "kept" {
				t.Error("the values of the context, such as its log, are lost")
			}
		}
		ctx, done := batchContext([]*pendingWrite{{ctx: second}})
		defer done()
		<-ctx.Done()
		if took := time.Since(began); took != time.Minute {
			t.Errorf("the write ended after %v", took)
		}
	})
}

// The caller has gone, but other requests may wait.
func TestBatcher_WriteEndsAtDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		batcher := newBatcher(func(ctx context.Context, _ postern.TargetKey, requests []Request) []Result {
			<-ctx.Done()
			ended <- ctx.Err()
			return make([]Result, len(requests))
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := doOne(ctx, batcher, plant, Request{}); err != nil && !IsTransient(err) {
			t.Errorf("got %v", err)
		}
		if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the write ended with %v", err)
		}
		expectEmpty(t, batcher)
	})
}

func TestBatcher_CanceledRequestIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		batcher := newBatcher(g.write)
		p := newTestWrites(batcher)
		p.add(t.Context(), plant, "first")
		<-g.begun
		left, leave := context.WithCancel(t.Context())
		leave()
		p.add(left, plant, "gone")
		if got := <-p.done["gone"]; !IsTransient(got.Err) {
			t.Errorf("got %+v", got)
		}
		g.let <- struct{}{}
		p.expect(t, "first")
		expectEmpty(t, batcher)
	})
}
