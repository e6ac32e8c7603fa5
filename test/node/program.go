// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	pollInterval = 100 * time.Millisecond
	// restartDelay is the time between the end of a program and its next start, as with systemd's Restart=always.
	restartDelay = time.Second
	bash         = "/bin/bash"
	// tailLines is the number of log lines in an error.
	tailLines = 30
)

// become stores its process ID, by the machine's numbers, in a file and becomes the program. The arguments are the
// file, the program and its arguments.
const become = `echo $$ > "$1"; shift; exec "$@"`

// program is a program of a machine that is started again whenever it ends, until stop or the end of the machine.
type program struct {
	machine *machine
	name    string
	path    string
	args    []string

	mu      sync.Mutex
	stopped chan struct{} // closed to not start it again; nil if it is not to run
	done    chan struct{} // closed when it will not be started again and has ended
}

// start runs the program until stop.
func (p *program) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	log, err := os.OpenFile(p.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	p.stopped, p.done = make(chan struct{}), make(chan struct{})
	go p.keepRunning(log, p.machine.gone, p.stopped, p.done)
	return nil
}

func (p *program) keepRunning(log *os.File, gone <-chan struct{}, stopped, done chan struct{}) {
	defer close(done)
	defer log.Close()
	for {
		cmd := p.machine.command(context.Background(), bash,
			append([]string{"-c", become, p.name, p.pidFile(), p.path}, p.args...)...)
		cmd.Stdout, cmd.Stderr = log, log
		err := cmd.Run()
		select {
		case <-stopped:
			return
		case <-gone:
			return
		default:
		}
		fmt.Fprintf(log, "%s %s has ended: %v\n", time.Now().UTC().Format(time.RFC3339Nano), p.name, err)
		select {
		case <-stopped:
			return
		case <-gone:
			return
		case <-time.After(restartDelay):
		}
	}
}

// stop kills the program, and returns when it has ended. Programs that it has started keep running.
func (p *program) stop(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.stopped)
	// It may be about to start, and have no process yet.
	return wait.PollUntilContextCancel(ctx, pollInterval, true, func(ctx context.Context) (bool, error) {
		select {
		case <-p.done:
			return true, nil
		default:
		}
		_ = p.machine.command(ctx, bash, "-c", `kill -KILL "$(cat "$1")"`, "kill", p.pidFile()).Run()
		return false, nil
	})
}

// tail returns the last lines of the log.
func (p *program) tail() string {
	content, err := os.ReadFile(p.logFile())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	lines = lines[max(0, len(lines)-tailLines):]
	return fmt.Sprintf("last lines of %s:\n%s", p.logFile(), strings.Join(lines, "\n"))
}

func (p *program) pidFile() string { return filepath.Join("/run", p.name+".pid") }
func (p *program) logFile() string { return filepath.Join(p.machine.dir, p.name+".log") }

// run starts cmd and returns a channel that is closed when it has ended.
func run(cmd *exec.Cmd) (<-chan struct{}, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = cmd.Wait() // the log has the reason
	}()
	return gone, nil
}

// execute runs a command and returns its output. The error includes its standard error.
func execute(cmd *exec.Cmd) (string, error) {
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), err
}
