// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func ms(n ...int) []time.Duration {
	times := make([]time.Duration, 0, len(n))
	for _, n := range n {
		times = append(times, time.Duration(n)*time.Millisecond)
	}
	return times
}

func TestSummary_PercentileIsNearestRank(t *testing.T) {
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[i] = i + 1
	}
	for _, test := range []struct {
		name   string
		sorted []time.Duration
		p      float64
		want   time.Duration
	}{
		{"none", nil, 50, 0},
		{"one", ms(7), 99, 7 * time.Millisecond},
		{"middle of an odd number", ms(1, 2, 9), 50, 2 * time.Millisecond},
		{"middle of an even number", ms(1, 2, 8, 9), 50, 2 * time.Millisecond},
		{"median of a hundred", ms(hundred...), 50, 50 * time.Millisecond},
		{"ninetieth of a hundred", ms(hundred...), 90, 90 * time.Millisecond},
		{"ninety-ninth of a hundred", ms(hundred...), 99, 99 * time.Millisecond},
		{"ninety-ninth of few is the highest", ms(1, 2, 3), 99, 3 * time.Millisecond},
		{"lowest", ms(1, 2, 3), 0, time.Millisecond},
		{"highest", ms(1, 2, 3), 100, 3 * time.Millisecond},
	} {
		if got := percentile(test.sorted, test.p); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

func TestSummary_Median(t *testing.T) {
	for _, test := range []struct {
		numbers []float64
		want    float64
	}{
		{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{9, 1, 2, 4}, 3},
	} {
		if got := median(test.numbers); got != test.want {
			t.Errorf("of %v: got %v, want %v", test.numbers, got, test.want)
		}
	}
}

func TestSummary_RoundsToFourDigits(t *testing.T) {
	for in, want := range map[float64]float64{0: 0, 1234567: 1235000, 12.34567: 12.35, 0.00123456: 0.001235,
		-98765: -98770, 3: 3} {
		if got := rounded(in); got != want {
			t.Errorf("of %v: got %v, want %v", in, got, want)
		}
	}
}

func TestSummary_CombinesRounds(t *testing.T) {
	got := summarize("side", []round{
		{took: time.Second, times: ms(30, 10), answers: map[string]int{"200": 2}},
		{took: 3 * time.Second, times: ms(20, 40), answers: map[string]int{"200": 2, "409": 5}},
	})
	want := summary{Name: "side", N: 4, P50: 20, P90: 40, P99: 40, PerSecond: 1,
		Answers: map[string]int{"200": 4, "409": 5}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSummary_Empty(t *testing.T) {
	want := summary{Name: "side", Answers: map[string]int{}}
	if diff := cmp.Diff(want, summarize("side", nil)); diff != "" {
		t.Error(diff)
	}
}

func TestSummary_FailuresAreOtherAnswers(t *testing.T) {
	s := summary{Answers: map[string]int{applied: 7, superseded: 3, "202 Pending": 2, "503": 1, noAnswer: 1}}
	if got := s.failures(applied); got != 7 {
		t.Errorf("got %d that were not applied, want 7", got)
	}
	if got := s.failures(applied, superseded); got != 4 {
		t.Errorf("got %d that were neither, want 4", got)
	}
	if got := s.refused(); got != 2 {
		t.Errorf("got %d that were not 202, want 2", got)
	}
	s.N = 12
	if got := s.unsuccessful(); got != 2 {
		t.Errorf("got %d that were no success, want 2", got)
	}
}

func TestSummary_RatiosComparePairs(t *testing.T) {
	one := func(n ...int) round {
		return round{took: time.Second, times: ms(n...), answers: map[string]int{"200": len(n)}}
	}
	ours := []round{one(10, 20, 30), one(40)}
	bare := []round{one(10, 10), one(20, 20)}
	if diff := cmp.Diff([]float64{2, 2}, ratios(ours, bare, func(s summary) float64 { return s.P50 })); diff != "" {
		t.Errorf("of medians: %s", diff)
	}
	if diff := cmp.Diff([]float64{1.5, 0.5}, ratios(ours, bare, perSecond)); diff != "" {
		t.Errorf("of rates: %s", diff)
	}
	if got := ratios(ours, []round{{}, {}}, perSecond); got != nil {
		t.Errorf("against nothing: got %v, want none", got)
	}
}
