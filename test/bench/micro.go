// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
)

const (
	// matchingRuns is the number of matching runs among few and among many objects; the median is used.
	matchingRuns = 3
	fewToMatch   = 100
	manyToMatch  = 10_000
)

// measureMicro runs the benchmarks of single functions: decoding each sender's payload, and verifying a signature.
func (b *bench) measureMicro(ctx context.Context) error {
	b.say("Running the Go benchmarks (about a minute, and some more to compile them)...")
	results, err := goBenchmarks(ctx, "-bench=.", "-benchtime=200ms", "./pkg/...")
	if err != nil {
		return err
	}
	if len(results) == 0 {
		return errors.New("no benchmark has printed anything")
	}
	b.report.Benchmarks = results
	return nil
}

// measureMatching finds the objects that match a push, among few and among many.
func (b *bench) measureMatching(ctx context.Context) error {
	b.say("Matching pushes among %d and %d Applications (about half a minute)...", fewToMatch, manyToMatch)
	var results []benchmarkResult
	for range matchingRuns {
		got, err := goBenchmarks(ctx, fmt.Sprintf("-bench=^BenchmarkMatch(Image|Branch)$/^(%d|%d)$", fewToMatch,
			manyToMatch), "-benchtime=500ms", "./pkg/target")
		if err != nil {
			return err
		}
		results = append(results, got...)
	}
	for _, push := range []struct {
		benchmark, what   string
		ratioGoal, usGoal *goal
	}{
		{"MatchImage", "a registry push", atMost(1.5), atMost(1000)},
		{"MatchBranch", "a pushed branch", nil, nil},
	} {
		many := valuesOf(results, fmt.Sprintf("%s/%d", push.benchmark, manyToMatch), "ns/op")
		few := valuesOf(results, fmt.Sprintf("%s/%d", push.benchmark, fewToMatch), "ns/op")
		if len(many) != matchingRuns || len(few) != matchingRuns {
			return fmt.Errorf("the benchmark %s did not run", push.benchmark)
		}
		what := fmt.Sprintf("matching %s among %d Applications", push.what, manyToMatch)
		us := median(many) / 1000
		ratio := compared(what, "µs", us, median(few)/1000, pairwise(many, few), push.ratioGoal)
		ratio.Note = fmt.Sprintf("bare: among %d", fewToMatch)
		b.report.add(ratio)
		if push.usGoal != nil {
			b.report.add(alone(what+", at all", "µs", us, push.usGoal))
		}
	}
	return nil
}

// pairwise divides ours by bare, element by element.
func pairwise(ours, bare []float64) []float64 {
	var ratios []float64
	for i := range min(len(ours), len(bare)) {
		ratios = append(ratios, rounded(ours[i]/bare[i]))
	}
	return ratios
}
