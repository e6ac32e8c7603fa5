// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"os/exec"
	"path/filepath"
)

// Buildah builds images, without a daemon. Its images are in a directory.
type Buildah struct {
	// Dir is created if it does not exist.
	Dir string
}

// Options are the options of buildah that select the directory.
func (b Buildah) Options() []string {
	return []string{
		"--root=" + filepath.Join(b.Dir, "root"), "--runroot=" + filepath.Join(b.Dir, "run"),
		"--storage-driver=overlay",
	}
}

// Run runs a command of buildah and returns its output.
func (b Buildah) Run(ctx context.Context, command string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "buildah", append(append(b.Options(), command), args...)...)
	cmd.Env = append(cmd.Environ(), "BUILDAH_ISOLATION=chroot") // no network and no cgroups of its own
	return execute(cmd)
}

// Export writes an image to an archive for Node.ImportImage.
func (b Buildah) Export(ctx context.Context, image, archive string) error {
	_, err := b.Run(ctx, "push", "--quiet", image, "docker-archive:"+archive+":"+image)
	return err
}
