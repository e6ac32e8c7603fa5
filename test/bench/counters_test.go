// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

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

func TestCosts_OfPosternPerSuccess(t *testing.T) {
	used := counters{switchCounter: 500, allocatedCounter: 250_000, walCounter: 0, cpuCounter + "postern": 2}
	want := map[string]float64{"CONTEXT SWITCHES": 5, "ALLOCATED kB": 2.5}
	if diff := cmp.Diff(want, used.costsPerSuccess(100)); diff != "" {
		t.Error(diff)
	}
	if got := used.costsPerSuccess(0); len(got) != 0 {
		t.Errorf("without a success: got %v, want nothing", got)
	}
}

func TestMetrics_OfSocketByPrefix(t *testing.T) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	listener, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(
		func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path != "/metrics" {
				http.NotFound(w, req)
			}
			_, _ = io.WriteString(w, putCounter+" 12\netcd_mvcc_range_total 3\n"+walCounter+" 4.5e+06\n")
		})}}
	server.Start()
	t.Cleanup(server.Close)
	got, err := metricsOf(newSocketClient(listener.Addr().String()), putCounter, walCounter)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(counters{putCounter: 12, walCounter: 4.5e6}, got); diff != "" {
		t.Error(diff)
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
