// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	pollInterval = 50 * time.Millisecond
	// stopTimeout is the time between SIGTERM and SIGKILL.
	stopTimeout = 30 * time.Second
	// tailLines is the number of log lines in an error. A crash or data race in the last reportLines is shown from its
	// first line.
	tailLines, reportLines = 30, 150
)

// process is a program that runs in the state directory, logs to NAME.log and stores its PID in NAME.pid. It is not
// safe for concurrent use.
type process struct {
	name     string
	stateDir string
	path     string
	args     []string
	env      []string
	detached bool // survives the process that started it

	record pidRecord
	exited <-chan struct{} // closed when a child process has ended; nil if it is not our child
}

// start runs the program. If an earlier detached run is still alive, p refers to it instead.
func (p *process) start() error {
	if p.findEarlierRun() {
		return nil
	}
	executable, err := executablePath(p.path)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(p.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("could not open the log of %s: %w", p.name, err)
	}
	defer log.Close()

	cmd := exec.Command(executable, p.args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = p.stateDir, p.env, log, log
	cmd.SysProcAttr = systemAttributes(p.detached)
	exited, err := run(cmd)
	if err != nil {
		return fmt.Errorf("could not start %s: %w", p.name, err)
	}
	p.exited = exited
	p.record = pidRecord{PID: cmd.Process.Pid, Executable: executable}
	return p.record.write(p.pidFile())
}

// findEarlierRun makes p refer to the run in the pid file if it is still alive.
func (p *process) findEarlierRun() bool {
	record, err := readPIDFile(p.pidFile())
	if err != nil || !record.alive() {
		return false
	}
	p.record, p.exited = record, nil
	return true
}

func (p *process) stopEarlierRun(ctx context.Context) error {
	if !p.findEarlierRun() {
		return nil
	}
	return p.stop(ctx)
}

// run starts cmd and returns a channel that is closed when it has ended. The thread that starts the child lives as long
// as the child: on Linux the parent-death signal is sent when the thread, not the process, ends.
func run(cmd *exec.Cmd) (<-chan struct{}, error) {
	started := make(chan error)
	exited := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		_ = cmd.Wait() // the log has the reason
		close(exited)
	}()
	return exited, <-started
}

// running reports whether the program that start ran or found is alive.
func (p *process) running() bool {
	if p.exited == nil {
		return p.record.alive()
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// stop sends SIGTERM, kills the program after stopTimeout or when ctx ends, and returns when it is gone. It returns an
// error if the program had to be killed.
func (p *process) stop(ctx context.Context) error {
	if !p.running() {
		return p.forget()
	}
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	if err := p.waitGone(ctx); err != nil {
		return errors.Join(fmt.Errorf("%s did not end on SIGTERM and was killed: %w", p.name, err), p.kill())
	}
	return p.forget()
}

// kill sends SIGKILL, as a simulated crash, and returns when the program is gone.
func (p *process) kill() error {
	if p.running() {
		if err := p.signal(syscall.SIGKILL); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if err := p.waitGone(ctx); err != nil {
			return fmt.Errorf("%s survived SIGKILL: %w", p.name, err)
		}
	}
	return p.forget()
}

func (p *process) waitGone(ctx context.Context) error {
	return wait.PollUntilContextCancel(ctx, pollInterval, true, func(context.Context) (bool, error) {
		return !p.running(), nil
	})
}

func (p *process) signal(signal syscall.Signal) error {
	err := syscall.Kill(p.record.PID, signal)
	if err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("could not send %v to %s, process %d: %w", signal, p.name, p.record.PID, err)
	}
	return nil
}

// forget removes the pid file, because the PID may be reused.
func (p *process) forget() error {
	p.record = pidRecord{}
	if err := os.Remove(p.pidFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (p *process) pidFile() string { return filepath.Join(p.stateDir, p.name+".pid") }
func (p *process) logFile() string { return filepath.Join(p.stateDir, p.name+".log") }

// logSize returns the size of the log in bytes.
func (p *process) logSize() int64 {
	info, err := os.Stat(p.logFile())
	if err != nil {
		return 0
	}
	return info.Size()
}

// logTail returns the path of the program's log and its last lines: from the first line of a crash or data race, if one
// is close to the end.
func (p *process) logTail() string {
	data, err := os.ReadFile(p.logFile())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	lines = lines[max(0, len(lines)-reportLines):]
	start := slices.IndexFunc(lines, func(line string) bool {
		return strings.HasPrefix(line, "WARNING: DATA RACE") || strings.HasPrefix(line, "panic: ") ||
			strings.HasPrefix(line, "fatal error: ")
	})
	if start < 0 {
		start = max(0, len(lines)-tailLines)
	}
	lines = lines[start:]
	return fmt.Sprintf("last lines of %s:\n%s", p.logFile(), strings.Join(lines, "\n"))
}

// executablePath returns path as the kernel reports it for the running program.
func executablePath(path string) (string, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}
