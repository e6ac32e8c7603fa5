// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func sampleReport() *report {
	return &report{
		Machine: machine{CPU: "Example CPU", Cores: 2, MemoryMiB: 4096, OS: "linux/amd64", Go: "go1.26.0", Load: 0.5,
			Fsync: 1.25},
		Commit:   "0123456789ab",
		Date:     time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Settings: reportSettings{Rounds: 2, Duration: "2s", Objects: 10000},
		Figures: []figure{
			compared("p50 of a delivery", "ms", 6, 5, []float64{1.1, 1.3}, atMost(1.3)),
			alone("memory", "MiB", 300.06, atMost(250)),
			{Name: "at the highest", Unit: "MiB", Ours: 310, Note: "for information"},
		},
		Samples: []summary{
			{Name: "delivery", N: 3, P50: 6, P90: 7, P99: 8.5, PerSecond: 150,
				Answers: map[string]int{"503": 1, applied: 3}, CPU: map[string]float64{"postern": 2, "etcd": 0.5},
				Costs:    map[string]float64{"CONTEXT SWITCHES": 40.5, "WAL kB": 3},
				Requests: map[string]float64{"POST events": 0.9, "PATCH gatewaysyncs": 1}},
			{Name: "bare PATCH", N: 4, P50: 5, P90: 6, P99: 7, PerSecond: 200, Answers: map[string]int{"200": 4},
				CPU: map[string]float64{"postern": 0.1}},
		},
		Stages: []stage{{Of: "delivery", Stage: "write", Count: 3, Mean: 4.5}},
		Benchmarks: []benchmarkResult{{Name: "Decode/github/ping",
			Values: map[string]float64{"ns/op": 2500, "B/op": 640, "allocs/op": 12}}},
		Profiles: []string{".local/bench.pprof"},
		Notes:    []string{"Instructions can't be counted."},
		Warnings: []string{"the machine was busy"},
	}
}

func TestReport_TablesShowEveryPart(t *testing.T) {
	const want = `
Example CPU, 2 cores, 4096 MiB, fsync 1.25 ms, load 0.5 before; go1.26.0; commit 0123456789ab; 2026-01-02 03:04 UTC

FIGURE             OURS       BARE  RATIO  OF ROUNDS   GOAL   MET  NOTE
p50 of a delivery  6 ms       5 ms  1.2    1.1 to 1.3  ≤ 1.3  yes
memory             300.1 MiB                           ≤ 250  NO
at the highest     310 MiB                                         for information

SIDE        N  P50 ms  P90 ms  P99 ms  PER SECOND  ANSWERS
delivery    3  6       7       8.5     150         202 Applied: 3, 503: 1
bare PATCH  4  5       6       7       200         200: 4

PROCESSOR TIME ms EACH  etcd  postern
delivery                0.5   2
bare PATCH              0     0.1

PER DELIVERY, IN POSTERN  CONTEXT SWITCHES  WAL kB
delivery                  40.5              3
bare PATCH                0                 0

REQUESTS AT THE KUBE-APISERVER  EACH
delivery                        PATCH gatewaysyncs: 1, POST events: 0.9
bare PATCH

STAGES OF  STAGE  N  MEAN ms
delivery   write  3  4.5

BENCHMARK           µs EACH  B EACH  ALLOCATIONS
Decode/github/ping  2.5      640     12

Where the processor time went:
  go tool pprof -top -cum .local/bench.pprof

Instructions can't be counted.

WARNING: the machine was busy
`
	var got strings.Builder
	if err := sampleReport().print(&got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want[1:], got.String()); diff != "" {
		t.Error(diff)
	}
}

func TestReport_EmptyTablesAreOmitted(t *testing.T) {
	var got strings.Builder
	if err := new(report).print(&got); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(got.String(), "\n"); lines != 1 {
		t.Errorf("got %d lines, want only the line of the machine:\n%s", lines, got.String())
	}
}

func TestReport_JSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "bench.json")
	report := sampleReport()
	report.Samples, report.Figures = report.Samples[:1], report.Figures[:2]
	if err := report.write(path); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
		"machine": {"cpu": "Example CPU", "cores": 2, "memoryMiB": 4096, "os": "linux/amd64", "go": "go1.26.0",
			"load": 0.5, "fsyncMs": 1.25},
		"commit": "0123456789ab",
		"date": "2026-01-02T03:04:05Z",
		"settings": {"rounds": 2, "duration": "2s", "objects": 10000},
		"figures": [
			{"name": "p50 of a delivery", "unit": "ms", "ours": 6, "bare": 5, "ratio": 1.2, "roundRatios": [1.1,
				1.3], "goal": {"atMost": 1.3}, "met": true},
			{"name": "memory", "unit": "MiB", "ours": 300.1, "goal": {"atMost": 250}, "met": false}
		],
		"samples": [
			{"name": "delivery", "n": 3, "p50Ms": 6, "p90Ms": 7, "p99Ms": 8.5, "perSecond": 150,
				"answers": {"202 Applied": 3, "503": 1}, "cpuMs": {"etcd": 0.5, "postern": 2},
			"costs": {"CONTEXT SWITCHES": 40.5, "WAL kB": 3},
			"requests": {"POST events": 0.9, "PATCH gatewaysyncs": 1}}
		],
		"stages": [{"of": "delivery", "stage": "write", "count": 3, "meanMs": 4.5}],
		"benchmarks": [{"name": "Decode/github/ping", "values": {"ns/op": 2500, "B/op": 640, "allocs/op": 12}}],
		"profiles": [".local/bench.pprof"],
		"notes": ["Instructions can't be counted."],
		"warnings": ["the machine was busy"]
	}`
	if diff := cmp.Diff(decoded(t, []byte(want)), decoded(t, data)); diff != "" {
		t.Error(diff)
	}
}

func decoded(t *testing.T, data []byte) any {
	t.Helper()
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

func TestReport_WarnsOfBusyMachine(t *testing.T) {
	if got := (machine{Cores: 2, Load: 0.9}).busy(); got != "" {
		t.Errorf("a quiet machine is reported busy: %s", got)
	}
	if got := (machine{Cores: 2, Load: 1}).busy(); got == "" {
		t.Error("a busy machine is not reported")
	}
}
