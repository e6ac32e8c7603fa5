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

// ProgramImage builds an image that contains only a program, which needs no libraries, and returns its archive in dir.
func ProgramImage(ctx context.Context, dir, program, image string) (archive string, err error) {
	name := filepath.Base(program)
	containerfile := filepath.Join(dir, "Containerfile")
	text := fmt.Sprintf("FROM scratch\nCOPY %[1]s /%[1]s\nUSER 65535:65535\nENTRYPOINT [\"/%[1]s\"]\n", name)
	if err := os.WriteFile(containerfile, []byte(text), 0o600); err != nil {
		return "", err
	}
	buildah := Buildah{Dir: filepath.Join(dir, "buildah")}
	if _, err := buildah.Run(ctx, "build", "--file="+containerfile, "--tag="+image, filepath.Dir(program)); err != nil {
		return "", fmt.Errorf("could not build the image of %s: %w", name, err)
	}
	archive = filepath.Join(dir, name+".tar")
	return archive, buildah.Export(ctx, image, archive)
}
