// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const benchmarkOutput = `goos: linux
goarch: amd64
pkg: postern.dev/postern/pkg/target
cpu: Example CPU @ 2.50GHz
BenchmarkMatchImage/100-2         	  175018	      6932 ns/op	      5328 B/application` +
	`	     426 B/op	      10 allocs/op
BenchmarkMatchImage/10000-2       	  189115	      6623.5 ns/op
BenchmarkMatchImage/100-2         	  175018	      7000 ns/op
BenchmarkOdd is not a result
PASS
ok  	postern.dev/postern/pkg/target	20.749s
`

func TestParseBenchmarks_GoOutput(t *testing.T) {
	got, err := parseBenchmarks(benchmarkOutput, 2)
	if err != nil {
		t.Fatal(err)
	}
	want := []benchmarkResult{
		{Name: "MatchImage/100", Values: map[string]float64{"ns/op": 6932, "B/application": 5328, "B/op": 426,
			"allocs/op": 10}},
		{Name: "MatchImage/10000", Values: map[string]float64{"ns/op": 6623.5}},
		{Name: "MatchImage/100", Values: map[string]float64{"ns/op": 7000}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]float64{6932, 7000}, valuesOf(got, "MatchImage/100", "ns/op")); diff != "" {
		t.Errorf("all runs of one: %s", diff)
	}
}

func TestParseBenchmarks_OneProcessor(t *testing.T) {
	got, err := parseBenchmarks("BenchmarkDecode/acr-1\t10\t5 ns/op\n", 1)
	if err != nil || len(got) != 1 || got[0].Name != "Decode/acr-1" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestParseBenchmarks_InvalidLineIsError(t *testing.T) {
	if got, err := parseBenchmarks("BenchmarkDecode-2 10 fast ns/op\n", 2); err == nil {
		t.Errorf("got %v and no error", got)
	}
}
