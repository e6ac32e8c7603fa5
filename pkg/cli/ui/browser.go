// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"os/exec"
	"runtime"
)

// openBrowser starts the user's browser. It does not wait for it.
func openBrowser(ctx context.Context, address string) error {
	command := exec.CommandContext(context.WithoutCancel(ctx), "xdg-open", address)
	switch runtime.GOOS {
	case "darwin":
		command = exec.CommandContext(context.WithoutCancel(ctx), "open", address)
	case "windows":
		command = exec.CommandContext(context.WithoutCancel(ctx), "rundll32", "url.dll,FileProtocolHandler", address)
	}
	detach(command)
	if err := command.Start(); err != nil {
		return err
	}
	go func() { _ = command.Wait() }()
	return nil
}
