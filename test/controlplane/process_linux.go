// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// systemAttributes puts a detached program into its own session, so that it gets no signals from the terminal. The
// kernel kills any other program when this process ends, for any reason.
func systemAttributes(detached bool) *syscall.SysProcAttr {
	if detached {
		return &syscall.SysProcAttr{Setsid: true}
	}
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// executableOf returns the executable of process pid. Zombies have none.
func executableOf(pid int) (string, error) {
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	// The kernel adds the suffix once the file has been replaced, for example by a build.
	return strings.TrimSuffix(path, " (deleted)"), err
}
