// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"k8s.io/apimachinery/pkg/util/wait"
)

var (
	//go:embed machine.sh
	machineScript string
	//go:embed enter.sh
	enterScript string
)

// machine is a process tree in namespaces and cgroups of its own. Its directory survives a reboot.
type machine struct {
	name    string
	dir     string
	address string // with the length of the prefix
	gateway string // empty for the machine with the bridge
	cgroups []string
	// pid is the process 1 of the machine, by its number on the host. A reboot changes it.
	pid  atomic.Int64
	gone <-chan struct{} // closed when no process of the machine is left
}

// boot starts process 1 and returns when namespaces, mounts and network are there.
func (m *machine) boot(ctx context.Context) error {
	for _, cgroup := range m.cgroups {
		if err := makeCgroup(cgroup); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(m.dir, 0o755); err != nil {
		return err
	}
	pidFile := filepath.Join(m.dir, "pid")
	if err := os.Remove(pidFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	log, err := os.Create(filepath.Join(m.dir, "machine.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := m.inCgroups(exec.Command("unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--cgroup", "--fork",
		"--kill-child", "--", "bash", "-c", machineScript, "machine", m.name, m.address, m.gateway, m.dir))
	cmd.Stdout, cmd.Stderr = log, log
	if m.gone, err = run(cmd); err != nil {
		return fmt.Errorf("could not start the machine %s: %w", m.name, err)
	}
	return wait.PollUntilContextCancel(ctx, pollInterval, true, func(context.Context) (bool, error) {
		select {
		case <-m.gone:
			content, err := os.ReadFile(log.Name())
			return false, errors.Join(fmt.Errorf("the machine %s has ended: %s", m.name, content), err)
		default:
		}
		content, err := os.ReadFile(pidFile)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		pid, err := strconv.ParseInt(strings.TrimSpace(string(content)), 10, 64)
		m.pid.Store(pid)
		return err == nil, err
	})
}

// halt kills process 1, and with it all others, as a loss of power does. It returns when they are gone.
func (m *machine) halt(ctx context.Context) error {
	if err := syscall.Kill(int(m.pid.Load()), syscall.SIGKILL); err != nil {
		return fmt.Errorf("could not halt the machine %s: %w", m.name, err)
	}
	select {
	case <-m.gone:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the machine %s did not halt: %w", m.name, ctx.Err())
	}
}

// command returns a command that runs in all namespaces and cgroups of the machine.
func (m *machine) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	return m.inCgroups(exec.CommandContext(ctx, "nsenter", append([]string{
		m.target(), "--mount", "--net", "--pid", "--ipc", "--uts", "--cgroup", "--wd=" + m.dir,
		"--", program,
	}, args...)...))
}

// target is the option of nsenter that selects the machine.
func (m *machine) target() string { return "--target=" + strconv.FormatInt(m.pid.Load(), 10) }

// inCgroups makes the command join the cgroups of the machine before it runs.
func (m *machine) inCgroups(cmd *exec.Cmd) *exec.Cmd {
	cmd.Args = append([]string{"bash", "-c", enterScript, "enter"}, cmd.Args...)
	cmd.Path = bash
	cmd.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + m.dir,
		"CGROUPS=" + strings.Join(m.cgroups, " "),
	}
	return cmd
}
