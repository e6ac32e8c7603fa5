// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"postern.dev/postern/test/testcluster"
)

const (
	// Prefixes of counter names: processor time in seconds by program, Postern's stages, and the requests that the
	// kube-apiserver answered.
	cpuCounter     = "cpu/"
	stageCounter   = "postern_delivery_stage_duration_seconds_"
	requestCounter = "apiserver_request_total"

	clientProgram = "client"
	// ticksPerSecond is USER_HZ, which is the same on all architectures that Go supports (proc(5), time(7)).
	ticksPerSecond = 100
)

// counters are monotonic readings by name.
type counters map[string]float64

// add adds the increase between two readings.
func (c counters) add(before, after counters) {
	for name, value := range after {
		c[name] += value - before[name]
	}
}

// metrics reads the counters of Postern and the kube-apiserver. This costs them processor time.
func (c *cluster) metrics(ctx context.Context) (counters, error) {
	all := counters{}
	for prefix, at := range map[string]*client{stageCounter: c.direct, requestCounter: c.admin} {
		text, err := at.must(ctx, http.MethodGet, "/metrics", "", nil, http.StatusOK)
		if err != nil {
			return nil, fmt.Errorf("could not read metrics: %w", err)
		}
		read, err := parseMetrics(string(text), prefix)
		if err != nil {
			return nil, err
		}
		maps.Copy(all, read)
	}
	return all, nil
}

func (c *cluster) cpu() (counters, error) {
	read := counters{}
	programs := c.PIDs()
	programs["postern"] = c.postern.PID()
	for program, pid := range programs {
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
	return read, nil
}

// parseMetrics returns the metrics whose name starts with prefix, by name and labels as written, without buckets.
func parseMetrics(text, prefix string) (counters, error) {
	values, err := testcluster.ParseMetrics(text, prefix)
	maps.DeleteFunc(values, func(name string, _ float64) bool { return strings.HasPrefix(name, prefix+"bucket") })
	return counters(values), err
}

func cpuTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("could not read the processor time of process %d: %w", pid, err)
	}
	return parseCPUTime(string(stat))
}

// parseCPUTime parses /proc/PID/stat: fields 14 and 15 are the ticks in user and kernel mode, and only field 2, the
// program's name in parentheses, may contain spaces (proc_pid_stat(5)).
func parseCPUTime(stat string) (time.Duration, error) {
	_, rest, _ := strings.Cut(stat[max(0, strings.LastIndexByte(stat, ')')):], " ")
	fields := strings.Fields(rest)
	const user, system = 14 - 3, 15 - 3
	if len(fields) <= system {
		return 0, fmt.Errorf("could not understand the processor time in %q", stat)
	}
	var ticks int64
	for _, field := range []string{fields[user], fields[system]} {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("could not understand the processor time: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond, nil
}

func ownCPUTime() (time.Duration, error) {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0, fmt.Errorf("could not read our own processor time: %w", err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}
