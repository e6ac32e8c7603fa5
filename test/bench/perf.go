// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// instructionEvent is perf's name of the instructions in user mode, whose number hardly depends on other load.
const instructionEvent = "instructions:u"

// checkPerf returns an error that says why instructions can't be counted here: without perf, without permission, or in
// most virtual machines.
func checkPerf(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "perf", "stat", "-x,", "-e", instructionEvent, "true").CombinedOutput()
	if err != nil {
		return fmt.Errorf("perf does not run: %w", err)
	}
	_, err = parsePerf(string(out))
	return err
}

// countInstructions returns the number of instructions of a process while do runs, 0 if they can't be counted here.
func (b *bench) countInstructions(ctx context.Context, pid int, do func() error) (float64, error) {
	if !b.hasPerf {
		return 0, do()
	}
	p, err := startPerf(ctx, pid)
	if err != nil {
		return 0, err
	}
	failed := do()
	count, err := p.stop()
	return count, errors.Join(failed, err)
}

// perf is a running "perf stat" of one process.
type perf struct {
	cmd *exec.Cmd
	out bytes.Buffer
}

// startPerf counts the instructions of a process, including threads that it starts later. It returns once perf counts.
func startPerf(ctx context.Context, pid int) (*perf, error) {
	control, commands, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer commands.Close()
	answers, acknowledgments, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, control.Close())
	}
	defer answers.Close()
	p := &perf{}
	// Files in ExtraFiles are numbered from 3. With a delay of -1, perf waits for a command to count (perf-stat(1)).
	p.cmd = exec.CommandContext(ctx, "perf", "stat", "-x,", "-e", instructionEvent, "-p", strconv.Itoa(pid),
		"--delay=-1", "--control=fd:3,4")
	p.cmd.ExtraFiles, p.cmd.Stderr = []*os.File{control, acknowledgments}, &p.out
	started := p.cmd.Start()
	if err := errors.Join(started, control.Close(), acknowledgments.Close()); err != nil {
		return nil, fmt.Errorf("could not start perf: %w", err)
	}
	if _, err := commands.WriteString("enable\n"); err != nil {
		return nil, fmt.Errorf("could not enable perf: %w", err)
	}
	if _, err := answers.Read(make([]byte, len("ack\n"))); err != nil {
		return nil, fmt.Errorf("perf did not start to count: %w: %s", err, p.out.String())
	}
	return p, nil
}

// stop returns the number of instructions since the start.
func (p *perf) stop() (float64, error) {
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		return 0, fmt.Errorf("could not stop perf: %w", err)
	}
	var ended *exec.ExitError
	if err := p.cmd.Wait(); err != nil && !errors.As(err, &ended) { // perf ends by the signal after it has printed
		return 0, fmt.Errorf("perf failed: %w", err)
	}
	return parsePerf(p.out.String())
}

// parsePerf returns the count of the instructions in the output of "perf stat -x,". Its lines have the count, its unit
// and the event (perf-stat(1), CSV format). A processor with two kinds of cores has a line for each.
func parsePerf(text string) (float64, error) {
	sum, counted := 0.0, false
	for line := range strings.Lines(text) {
		fields := strings.Split(line, ",")
		if len(fields) < 3 || !strings.Contains(fields[2], "instructions") {
			continue
		}
		if strings.HasPrefix(fields[0], "<not ") { // supported, counted
			continue
		}
		count, err := strconv.ParseFloat(fields[0], 64)
		if err != nil {
			return 0, fmt.Errorf("could not understand perf's line %q: %w", line, err)
		}
		sum, counted = sum+count, true
	}
	if !counted {
		return 0, fmt.Errorf("perf counted nothing: %s", strings.TrimSpace(text))
	}
	return sum, nil
}
