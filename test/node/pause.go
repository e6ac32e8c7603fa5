// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// PauseImage is the image of the container that holds the namespaces of a Pod. Each node has it.
const PauseImage = "localhost/pause:1"

// buildPause builds the image of the pause container, and returns its archive in dir.
func buildPause(ctx context.Context, repository, dir string) (string, error) {
	build := filepath.Join(dir, "pause")
	if err := os.MkdirAll(build, 0o755); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-o", filepath.Join(build, "pause"),
		"./test/node/pause")
	cmd.Dir, cmd.Env = repository, append(os.Environ(), "CGO_ENABLED=0")
	if _, err := execute(cmd); err != nil {
		return "", err
	}
	const containerfile = "FROM scratch\nCOPY pause /pause\nUSER 65535:65535\nENTRYPOINT [\"/pause\"]\n"
	if err := os.WriteFile(filepath.Join(build, "Containerfile"), []byte(containerfile), 0o600); err != nil {
		return "", err
	}
	archive := filepath.Join(build, "pause.tar")
	buildah := Buildah{Dir: filepath.Join(build, "buildah")}
	if _, err := buildah.Run(ctx, "build", "--tag="+PauseImage, build); err != nil {
		return "", fmt.Errorf("could not build the image of the pause container: %w", err)
	}
	return archive, buildah.Export(ctx, PauseImage, archive)
}
