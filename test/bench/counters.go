// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"postern.dev/postern/test/testcluster"
)

const (
	// Prefixes of the names of counters: processor time in seconds by program, Postern's stages, and the requests that
	// the kube-apiserver answered.
	cpuCounter     = "cpu/"
	stageCounter   = "postern_delivery_stage_duration_seconds_"
	requestCounter = "apiserver_request_total"

	clientProgram = "client"

	// Counters of Postern: instructions in user mode, context switches, and the Go runtime's allocations.
	instructionCounter = "instructions"
	switchCounter      = "switches"
	mallocsCounter     = "go_memstats_mallocs_total"
	allocatedCounter   = "go_memstats_alloc_bytes_total"
	gcCounter          = "go_gc_duration_seconds_count"
	// Counters of the etcd in Postern.
	putCounter      = "etcd_mvcc_put_total"
	proposalCounter = "etcd_server_proposals_applied_total"
	fsyncCounter    = "etcd_disk_wal_fsync_duration_seconds_count"
	walCounter      = "etcd_disk_wal_write_bytes_total"
)

// counters are monotonic readings by name.
type counters map[string]float64

// add adds the increase between two readings.
func (c counters) add(before, after counters) {
	for name, value := range after {
		c[name] += value - before[name]
	}
}

// reading reads some counters.
type reading func(context.Context) (counters, error)

// readings returns the readings of all counters. Those that cost Postern least come last.
func (c *cluster) readings() []reading {
	all := []reading{
		metricsOf(c.admin, requestCounter),
		metricsOf(c.direct, stageCounter, mallocsCounter, allocatedCounter, gcCounter),
	}
	if c.etcd != nil {
		all = append(all, metricsOf(c.etcd, putCounter, proposalCounter, fsyncCounter, walCounter))
	}
	return append(all, c.processes)
}

// metricsOf reads those metrics of a server whose names have one of the prefixes.
func metricsOf(at *client, prefixes ...string) reading {
	return func(ctx context.Context) (counters, error) {
		text, err := at.must(ctx, http.MethodGet, "/metrics", "", nil, http.StatusOK)
		if err != nil {
			return nil, fmt.Errorf("could not read metrics: %w", err)
		}
		all := counters{}
		for _, prefix := range prefixes {
			read, err := parseMetrics(string(text), prefix)
			if err != nil {
				return nil, err
			}
			maps.Copy(all, read)
		}
		return all, nil
	}
}

// processes reads what the kernel counts for each program.
func (c *cluster) processes(context.Context) (counters, error) {
	read := counters{}
	for program, pid := range c.programs() {
		used, err := cpuTime(pid)
		if err != nil {
			return nil, err
		}
		read[cpuCounter+program] = used.Seconds()
	}
	own, err := ownCPUTime()
	if err != nil {
		return nil, err
	}
	read[cpuCounter+clientProgram] = own.Seconds()
	read[switchCounter], err = contextSwitches(c.postern.PID())
	return read, err
}

// count returns the increase of all counters while do runs.
func (b *bench) count(ctx context.Context, c *cluster, do func() error) (counters, error) {
	readings := c.readings()
	before := make([]counters, len(readings))
	used := counters{}
	var err error
	for i, read := range readings {
		if before[i], err = read(ctx); err != nil {
			return nil, err
		}
	}
	if used[instructionCounter], err = b.countInstructions(ctx, c.postern.PID(), do); err != nil {
		return nil, err
	}
	for i, read := range slices.Backward(readings) {
		after, err := read(ctx)
		if err != nil {
			return nil, err
		}
		used.add(before[i], after)
	}
	return used, nil
}

// parseMetrics returns the metrics whose name starts with prefix, by name and labels as written, without buckets.
func parseMetrics(text, prefix string) (counters, error) {
	values, err := testcluster.ParseMetrics(text, prefix)
	maps.DeleteFunc(values, func(name string, _ float64) bool { return strings.HasPrefix(name, prefix+"bucket") })
	return counters(values), err
}
