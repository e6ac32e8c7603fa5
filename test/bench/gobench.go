// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
)

type benchmarkResult struct {
	// Name excludes the leading "Benchmark" and the number of processors.
	Name string `json:"name"`
	// Values are the figures by unit, such as ns/op.
	Values map[string]float64 `json:"values"`
}

// goBenchmarks runs "go test" without tests and returns the results of its benchmarks.
func goBenchmarks(ctx context.Context, args ...string) ([]benchmarkResult, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-run=^$", "-benchmem"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("could not run benchmarks: %w: %s", err, out)
	}
	return parseBenchmarks(string(out), runtime.GOMAXPROCS(0))
}

// parseBenchmarks parses the output of "go test -bench": a name, a count, and pairs of value and unit
// (https://go.dev/design/14313-benchmark-format). Other lines are skipped.
func parseBenchmarks(text string, processors int) ([]benchmarkResult, error) {
	var results []benchmarkResult
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 4 || len(fields)%2 != 0 {
			continue
		}
		name, ok := strings.CutPrefix(fields[0], "Benchmark")
		if !ok {
			continue
		}
		if processors > 1 { // go test adds no number for one processor
			name = strings.TrimSuffix(name, "-"+strconv.Itoa(processors))
		}
		result := benchmarkResult{Name: name, Values: map[string]float64{}}
		for i := 2; i < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("could not understand a benchmark's line %q: %w", line, err)
			}
			result.Values[fields[i+1]] = value
		}
		results = append(results, result)
	}
	return results, nil
}

// valuesOf returns all values of a benchmark, one per run.
func valuesOf(results []benchmarkResult, name, unit string) []float64 {
	var values []float64
	for _, r := range results {
		if value, ok := r.Values[unit]; ok && r.Name == name {
			values = append(values, value)
		}
	}
	return values
}
