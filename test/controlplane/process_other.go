// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package controlplane

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// systemAttributes puts a detached program into its own session. Without Linux's parent-death signal other programs end
// only when they are stopped.
func systemAttributes(detached bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: detached}
}

// executableOf returns the executable of process pid.
func executableOf(pid int) (string, error) {
	path, err := exec.Command("ps", "-o", "comm=", "-p", strconv.Itoa(pid)).Output()
	return strings.TrimSpace(string(path)), err
}
