// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// machine is the part of the environment that affects figures.
type machine struct {
	CPU       string `json:"cpu"`
	Cores     int    `json:"cores"`
	MemoryMiB int    `json:"memoryMiB"`
	OS        string `json:"os"`
	Go        string `json:"go"`
	// Load is the one-minute load average before the run.
	Load float64 `json:"load"`
	// Fsync is the median time in milliseconds to sync a small file in the temporary directory, where the control plane
	// keeps its data; 0 if unknown. Every etcd write waits for one.
	Fsync float64 `json:"fsyncMs"`
}

func thisMachine() machine {
	memory, _ := strconv.Atoi(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"))
	load, _, _ := strings.Cut(firstLine("/proc/loadavg"), " ")
	m := machine{
		CPU: field("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), MemoryMiB: memory / 1024,
		OS: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(),
	}
	m.Load, _ = strconv.ParseFloat(load, 64)
	m.Fsync, _ = fsyncTime()
	return m
}

// fsyncTime returns the median of a few writes with sync.
func fsyncTime() (float64, error) {
	const times = 50
	file, err := os.CreateTemp("", "postern-bench-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	var taken []float64
	for range times {
		start := time.Now()
		if _, err := file.Write(make([]byte, 4096)); err != nil {
			return 0, err
		}
		if err := file.Sync(); err != nil {
			return 0, err
		}
		taken = append(taken, millis(time.Since(start)))
	}
	return rounded(median(taken)), nil
}

// busy returns a warning if other work keeps the machine busy.
func (m machine) busy() string {
	if m.Load < float64(m.Cores)/2 {
		return ""
	}
	return fmt.Sprintf("the machine was busy before the run: its load was %v on %d cores", m.Load, m.Cores)
}

// currentCommit returns the checked-out commit, and whether there are changes since.
func currentCommit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty=, modified", "--abbrev=12").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// field returns the value of the first line "name: value" in a /proc file, empty if there is none.
func field(path, name string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func firstLine(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return line
}
