// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ticksPerSecond is USER_HZ, which is the same on all architectures that Go supports (proc(5), time(7)).
const ticksPerSecond = 100

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

// contextSwitches returns how often the threads of a process gave up a processor, to wait or for another thread. Go
// programs rarely end threads, whose switches would be missing.
func contextSwitches(pid int) (float64, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(threads) == 0 {
		return 0, fmt.Errorf("process %d has no threads: %w", pid, err)
	}
	sum := 0.0
	for _, status := range threads {
		for _, name := range []string{"voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"} {
			count, _ := strconv.ParseFloat(field(status, name), 64) // 0 if the thread has just ended
			sum += count
		}
	}
	return sum, nil
}

// memory is a process's memory in MiB.
type memory struct {
	// resident is the current resident memory, files the part that the kernel can reclaim, highest the peak.
	resident, files, highest float64
}

// residentMemory reads the memory of a process (proc_pid_status(5)).
func residentMemory(pid int) (memory, error) {
	path := fmt.Sprintf("/proc/%d/status", pid)
	var values [3]float64
	for i, name := range []string{"VmRSS", "RssFile", "VmHWM"} {
		kib, err := strconv.ParseFloat(strings.TrimSuffix(field(path, name), " kB"), 64)
		if err != nil {
			return memory{}, fmt.Errorf("could not read %s of process %d: %w", name, pid, err)
		}
		values[i] = kib / 1024
	}
	return memory{resident: values[0], files: values[1], highest: values[2]}, nil
}

// forgetHighest makes the current memory of a process its peak (proc_pid_clear_refs(5)).
func forgetHighest(pid int) error {
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
		return fmt.Errorf("could not reset the peak of the memory of process %d: %w", pid, err)
	}
	return nil
}
