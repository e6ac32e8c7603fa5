// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const metricsText = `# HELP postern_delivery_stage_duration_seconds [ALPHA] Time that deliveries spend in each stage.
# TYPE postern_delivery_stage_duration_seconds histogram
postern_delivery_stage_duration_seconds_bucket{stage="write",le="5e-05"} 0
postern_delivery_stage_duration_seconds_sum{stage="write"} 1.5
postern_delivery_stage_duration_seconds_count{stage="write"} 300
postern_delivery_stage_duration_seconds_sum{stage="verify"} 0.004
postern_delivery_stage_duration_seconds_count{stage="verify"} 400
postern_deliveries_total{method="User",outcome="Applied",source="generic"} 7
`

func TestStages_OfRoundsSlowestFirst(t *testing.T) {
	read, err := parseMetrics(metricsText, stageCounter)
	if err != nil {
		t.Fatal(err)
	}
	before := counters{
		stageCounter + `sum{stage="write"}`: 0.5, stageCounter + `count{stage="write"}`: 100,
		stageCounter + `sum{stage="verify"}`: 0.002, stageCounter + `count{stage="verify"}`: 200,
	}
	used := counters{}
	used.add(before, read)
	used.add(read, read) // a round in which nothing happened
	want := []stage{
		{Of: "delivery", Stage: "write", Count: 200, Mean: 5},
		{Of: "delivery", Stage: "verify", Count: 200, Mean: 0.01},
	}
	if diff := cmp.Diff(want, used.stages("delivery")); diff != "" {
		t.Error(diff)
	}
}

func TestMetrics_InvalidIsError(t *testing.T) {
	if got, err := parseMetrics(stageCounter+"sum{} much\n", stageCounter); err == nil {
		t.Errorf("got %v and no error", got)
	}
}

func TestProcessorTime_PerSuccess(t *testing.T) {
	used := counters{cpuCounter + "etcd": 0.5, cpuCounter + "postern": 2, "other": 9}
	if diff := cmp.Diff(map[string]float64{"etcd": 5, "postern": 20}, used.cpuPerSuccess(100)); diff != "" {
		t.Error(diff)
	}
	if got := used.cpuPerSuccess(0); len(got) != 0 {
		t.Errorf("without a success: got %v, want nothing", got)
	}
}

func TestRequests_ByVerbAndResource(t *testing.T) {
	read,
		err := parseMetrics(
		`apiserver_request_total{code="200",dry_run="",resource="gatewaysyncs",subresource="",verb="PATCH",`+
			`version="v1alpha1"} 90
apiserver_request_total{code="409",dry_run="",resource="gatewaysyncs",subresource="",verb="PATCH",version="v1alpha1"} 20
apiserver_request_total{code="200",dry_run="",resource="gatewaysyncs",subresource="status",verb="PATCH",`+
			`version="v1alpha1"} 5
apiserver_request_total{code="0",dry_run="",resource="gatewaysyncs",subresource="",verb="WATCH",version="v1alpha1"} 50
apiserver_request_total{code="200",dry_run="",resource="leases",subresource="",verb="PUT",version="v1"} 4
apiserver_request_duration_seconds_count{resource="gatewaysyncs",verb="PATCH"} 1000
`, requestCounter)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{"PATCH gatewaysyncs": 1.1, "PATCH gatewaysyncs/status": 0.05}
	if diff := cmp.Diff(want, read.requestsPerSuccess(100)); diff != "" {
		t.Error(diff)
	}
}

func TestProcessorTime_UserAndSystem(t *testing.T) {
	const stat = "4242 (a (strange) name) S 1 4242 4242 0 -1 4194560 100 0 0 0 150 30 7 8 20 0 11 0 5000 1000000 2000"
	got, err := parseCPUTime(stat)
	if want := 1800 * time.Millisecond; err != nil || got != want {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	for _, broken := range []string{"", "4242 (name) S 1", "4242 (name) S 1 2 3 0 -1 4 5 0 0 0 many 30 0"} {
		if got, err := parseCPUTime(broken); err == nil {
			t.Errorf("%q: got %v and no error", broken, got)
		}
	}
}

func TestMemory_OfProcess(t *testing.T) {
	got, err := residentMemory(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if got.resident <= 0 || got.files <= 0 || got.highest <= 0 || got.files >= got.resident {
		t.Errorf("got %+v, want each above zero, and files less than all", got)
	}
}
