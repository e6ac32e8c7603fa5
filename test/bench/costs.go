// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"slices"
	"strings"
)

// cpuPerSuccess returns the processor time of each program in milliseconds per successful operation.
func (c counters) cpuPerSuccess(successes int) map[string]float64 {
	each := map[string]float64{}
	for name, seconds := range c {
		if program, ok := strings.CutPrefix(name, cpuCounter); ok && successes > 0 {
			each[program] = rounded(seconds * 1000 / float64(successes))
		}
	}
	return each
}

// costColumns are the columns of Postern's costs.
var costColumns = []struct {
	heading, counter string
	unit             float64
}{
	{"INSTRUCTIONS 1000", instructionCounter, 1000},
	{"CONTEXT SWITCHES", switchCounter, 1},
	{"ALLOCATIONS", mallocsCounter, 1},
	{"ALLOCATED kB", allocatedCounter, 1000},
	{"GC CYCLES", gcCounter, 1},
	{"ETCD PUTS", putCounter, 1},
	{"PROPOSALS", proposalCounter, 1},
	{"FSYNCS", fsyncCounter, 1},
	{"WAL kB", walCounter, 1000},
}

// costsPerSuccess returns what Postern spends per successful operation, without costs of which nothing was counted.
func (c counters) costsPerSuccess(successes int) map[string]float64 {
	each := map[string]float64{}
	for _, column := range costColumns {
		if count := c[column.counter]; count > 0 && successes > 0 {
			each[column.heading] = rounded(count / column.unit / float64(successes))
		}
	}
	return each
}

// stages returns the time that deliveries spent in each stage, the stage with the highest total first.
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

// leastRequests filters out requests that are unrelated to the operations.
const leastRequests = 0.05

// requestsPerSuccess returns the number of requests that the kube-apiserver answered, by verb and resource, per
// successful operation. Requests proxied to Postern are not included.
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

// label returns the value of a label in a metric's text form.
func label(metric, name string) string {
	_, rest, _ := strings.Cut(strings.Replace(metric, "{", ",", 1), ","+name+`="`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}
