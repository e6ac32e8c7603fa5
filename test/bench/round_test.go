// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const never = time.Hour

func TestRound_CountsAnswersTimesSuccesses(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := &side{name: "side", do: func(_ context.Context, number int) (string, bool) {
		if number == 10 {
			cancel()
		}
		if number%5 == 0 {
			return "409", false
		}
		return "200", true
	}}
	got := s.measure(ctx, 1, never)
	if diff := cmp.Diff(map[string]int{"200": 8, "409": 2}, got.answers); diff != "" {
		t.Error(diff)
	}
	if len(got.times) != 8 || got.took <= 0 {
		t.Errorf("got %d times in %v, want 8", len(got.times), got.took)
	}
}

func TestRound_WorkersNeverShareNumber(t *testing.T) {
	const workers = 8
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	all.Add(workers)
	var mu sync.Mutex
	seen := map[int]bool{}
	s := &side{do: func(_ context.Context, number int) (string, bool) {
		all.Done()
		all.Wait() // hangs unless all have begun
		cancel()
		mu.Lock()
		defer mu.Unlock()
		seen[number] = true
		return "200", true
	}}
	s.measure(ctx, workers, never)
	if len(seen) != workers {
		t.Errorf("got numbers %v, want %d", seen, workers)
	}
}

func TestRound_EndsAfterDuration(t *testing.T) {
	s := &side{do: func(context.Context, int) (string, bool) { return "200", true }}
	if got := s.measure(t.Context(), 2, 0); len(got.answers) != 0 {
		t.Errorf("got %v in no time, want nothing", got.answers)
	}
}
