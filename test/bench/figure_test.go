// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFigure_GoalIncludesBound(t *testing.T) {
	for _, test := range []struct {
		goal  *goal
		value float64
		want  bool
	}{
		{atMost(1.3), 1.3, true}, {atMost(1.3), 1.31, false}, {atMost(0), 0, true}, {atMost(0), 1, false},
		{atLeast(10), 10, true}, {atLeast(10), 9.99, false},
	} {
		if got := test.goal.met(test.value); got != test.want {
			t.Errorf("%v %s: got %v, want %v", test.value, test.goal, got, test.want)
		}
	}
}

func TestFigure_ComparedByRatio(t *testing.T) {
	for _, test := range []struct {
		name       string
		ours, bare float64
		goal       *goal
		ratio      *float64
		met        *bool
	}{
		{"met", 13, 10, atMost(1.3), new(1.3), new(true)},
		{"missed", 14, 10, atMost(1.3), new(1.4), new(false)},
		// The ratio is shown rounded, but judged unrounded.
		{"missed by a little", 13.0001, 10, atMost(1.3), new(1.3), new(false)},
		{"for information", 14, 10, nil, new(1.4), nil},
		{"without anything to compare with", 14, 0, atLeast(10), nil, new(false)},
	} {
		got := compared(test.name, "ms", test.ours, test.bare, nil, test.goal)
		if diff := cmp.Diff(test.ratio, got.Ratio); diff != "" {
			t.Errorf("%s: ratio: %s", test.name, diff)
		}
		if diff := cmp.Diff(test.met, got.Met); diff != "" {
			t.Errorf("%s: met: %s", test.name, diff)
		}
	}
}

func TestFigure_AloneByValue(t *testing.T) {
	for value, want := range map[float64]bool{249.9: true, 250: true, 250.1: false} {
		if got := alone("memory", "MiB", value, atMost(250)); *got.Met != want {
			t.Errorf("%v: got %v, want %v", value, *got.Met, want)
		}
	}
	if got := alone("highest", "MiB", 300, nil); got.Met != nil {
		t.Errorf("a figure without a goal is judged %v", *got.Met)
	}
}
