// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"slices"
	"strings"
)

// cpuPerSuccess is the processor time of each program in milliseconds, divided by how many operations succeeded.
func (c counters) cpuPerSuccess(successes int) map[string]float64 {
	each := map[string]float64{}
	for name, seconds := range c {
		if program, ok := strings.CutPrefix(name, cpuCounter); ok && successes > 0 {
			each[program] = rounded(seconds * 1000 / float64(successes))
		}
	}
	return each
}

// stages tells how long deliveries were in each stage. The one that took most time in all comes first.
func (c counters) stages(of string) []stage {
	var stages []stage
	for name, count := range c {
		labels, ok := strings.CutPrefix(name, stageCounter+"count")
		if !ok || count == 0 {
			continue
		}
		stages = append(stages, stage{
			Of:    of,
			Stage: label(name, "stage"),
			Count: int(count),
			Mean:  rounded(c[stageCounter+"sum"+labels] * 1000 / count),
		})
	}
	slices.SortFunc(stages, func(a, b stage) int {
		return cmp.Or(cmp.Compare(b.Mean*float64(b.Count), a.Mean*float64(a.Count)), strings.Compare(a.Stage, b.Stage))
	})
	return stages
}

// leastRequests leaves out what happens now and then without regard to the operations.
const leastRequests = 0.05

// requestsPerSuccess is how many requests the kube-apiserver answered by verb and resource, divided by how many
// operations succeeded. Those that it passed on to Postern are not among them.
func (c counters) requestsPerSuccess(successes int) map[string]float64 {
	sums := map[string]float64{}
	for name, count := range c {
		verb, resource := label(name, "verb"), label(name, "resource")
		if !strings.HasPrefix(name, requestCounter) || verb == "WATCH" || resource == "" {
			continue
		}
		sums[strings.TrimSuffix(verb+" "+resource+"/"+label(name, "subresource"), "/")] += count
	}
	each := map[string]float64{}
	for name, sum := range sums {
		if mean := sum / float64(max(1, successes)); mean >= leastRequests {
			each[name] = rounded(mean)
		}
	}
	return each
}

// label returns the value of a label in a metric's name.
func label(metric, name string) string {
	_, rest, _ := strings.Cut(strings.Replace(metric, "{", ",", 1), ","+name+`="`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}
