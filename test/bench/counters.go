// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// cpuCounter and stageCounter begin the names of counters: processor time in seconds by program, and what Postern says
	// about its stages.
	cpuCounter   = "cpu/"
	stageCounter = "postern_delivery_stage_duration_seconds_"

	clientProgram = "client"
	// ticksPerSecond is USER_HZ, which Linux gives to programs on all architectures that Go knows (proc(5), time(7)).
	ticksPerSecond = 100
)

// counters are readings that only grow, by name.
type counters map[string]float64

// add adds by how much readings grew.
func (c counters) add(before, after counters) {
	for name, value := range after {
		c[name] += value - before[name]
	}
}

// counters reads the processor time of every program, and the stages' metrics of Postern.
func (c *cluster) counters(ctx context.Context) (counters, error) {
	answer, err := c.direct.do(ctx, http.MethodGet, "/metrics", "", nil)
	if err != nil {
		return nil, err
	}
	if answer.code != http.StatusOK {
		return nil, fmt.Errorf("could not read Postern's metrics: %d", answer.code)
	}
	read, err := parseMetrics(string(answer.body), stageCounter)
	if err != nil {
		return nil, err
	}
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
	read[cpuCounter+clientProgram] = own.Seconds()
	return read, err
}

// parseMetrics returns the metrics of which the name begins so, by name with labels as they are written, without buckets.
func parseMetrics(text, prefix string) (counters, error) {
	values := counters{}
	for line := range strings.Lines(text) {
		at := strings.LastIndexByte(line, ' ')
		if !strings.HasPrefix(line, prefix) || strings.HasPrefix(line, prefix+"bucket") {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(line[at+1:]), 64)
		if err != nil {
			return nil, fmt.Errorf("could not read a metric: %w", err)
		}
		values[line[:at]] = value
	}
	return values, nil
}

// cpuTime is the processor time that a process has used.
func cpuTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("could not read the processor time of process %d: %w", pid, err)
	}
	return parseCPUTime(string(stat))
}

// parseCPUTime reads /proc/PID/stat: fields 14 and 15 are the ticks spent in user and kernel mode, and only the second,
// the program's name in parentheses, may have spaces (proc_pid_stat(5)).
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
		label, ok := strings.CutPrefix(name, stageCounter+"count")
		if !ok || count == 0 {
			continue
		}
		stages = append(stages, stage{
			Of:    of,
			Stage: strings.TrimSuffix(strings.TrimPrefix(label, `{stage="`), `"}`),
			Count: int(count),
			Mean:  rounded(c[stageCounter+"sum"+label] * 1000 / count),
		})
	}
	slices.SortFunc(stages, func(a, b stage) int {
		return cmp.Or(cmp.Compare(b.Mean*float64(b.Count), a.Mean*float64(a.Count)), strings.Compare(a.Stage, b.Stage))
	})
	return stages
}
