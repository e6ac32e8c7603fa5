// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// systemAttributes makes a detached program leader of its own session, out of reach of the terminal's signals, and any
// other program one that the kernel kills when we end, however we end.
func systemAttributes(detached bool) *syscall.SysProcAttr {
	if detached {
		return &syscall.SysProcAttr{Setsid: true}
	}
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// executableOf returns the executable that process pid runs. A dead process that nobody has waited for has none.
func executableOf(pid int) (string, error) {
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	// The kernel adds this once the file has been replaced, as a build does.
	return strings.TrimSuffix(path, " (deleted)"), err
}
