// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package ui

import (
	"os/exec"
	"syscall"
)

// detach keeps Ctrl-C, which a terminal sends to all processes of a group, from the browser.
func detach(command *exec.Cmd) { command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
