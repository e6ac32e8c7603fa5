// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
)

// PauseImage is the image of the container that holds the namespaces of a Pod. Each node has it.
const PauseImage = "localhost/pause:1"

// buildPause builds the image of the pause container, and returns its archive in dir.
func buildPause(ctx context.Context, repository, dir string) (string, error) {
	program := filepath.Join(dir, "pause")
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-o", program, "./test/node/pause")
	cmd.Dir, cmd.Env = repository, append(os.Environ(), "CGO_ENABLED=0")
	if _, err := execute(cmd); err != nil {
		return "", err
	}
	return ProgramImage(ctx, filepath.Join(dir, "pause-image"), program, PauseImage)
}
