// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"math"
	"slices"
	"time"
)

// summary is the result of one side in one or more rounds. Times are in milliseconds.
type summary struct {
	Name string `json:"name"`
	// N is the number of successful operations; times and PerSecond cover only those.
	N         int     `json:"n"`
	P50       float64 `json:"p50Ms"`
	P90       float64 `json:"p90Ms"`
	P99       float64 `json:"p99Ms"`
	PerSecond float64 `json:"perSecond"`
	// Answers counts all answers, including failures.
	Answers map[string]int `json:"answers"`
	// CPU is each program's processor time per success, in milliseconds.
	CPU map[string]float64 `json:"cpuMs,omitempty"`
	// Costs are other costs in Postern per success, by the heading of their column.
	Costs map[string]float64 `json:"costs,omitempty"`
	// Requests is the number of requests that the kube-apiserver answered per success, by verb and resource.
	Requests map[string]float64 `json:"requests,omitempty"`
}

func summarize(name string, rounds []round) summary {
	s := summary{Name: name, Answers: map[string]int{}}
	var times []time.Duration
	var took time.Duration
	for _, r := range rounds {
		times = append(times, r.times...)
		took += r.took
		for answer, n := range r.answers {
			s.Answers[answer] += n
		}
	}
	slices.Sort(times)
	s.N = len(times)
	s.P50, s.P90, s.P99 = millis(percentile(times, 50)), millis(percentile(times, 90)), millis(percentile(times, 99))
	if took > 0 {
		s.PerSecond = rounded(float64(s.N) / took.Seconds())
	}
	return s
}

// percentile returns the smallest of the sorted times that at least p percent of them do not exceed (nearest rank), 0
// if there are none.
func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// median returns the middle number, or the mean of the middle two; 0 if there are none.
func median(numbers []float64) float64 {
	if len(numbers) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(numbers))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// failures counts the answers that are not among the wanted ones.
func (s summary) failures(wanted ...string) int {
	count := 0
	for answer := range maps.Keys(s.Answers) {
		if !slices.Contains(wanted, answer) {
			count += s.Answers[answer]
		}
	}
	return count
}

func millis(d time.Duration) float64 { return rounded(d.Seconds() * 1000) }

// rounded keeps four significant digits, the precision of the measurements.
func rounded(x float64) float64 {
	if x == 0 || math.IsInf(x, 0) || math.IsNaN(x) {
		return x
	}
	scale := math.Pow(10, 3-math.Floor(math.Log10(math.Abs(x))))
	return math.Round(x*scale) / scale
}
