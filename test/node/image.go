// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// ProgramImage builds an image with nothing but a statically linked program, and returns its archive. The work is done
// in dir, which must not contain anything else.
func ProgramImage(ctx context.Context, dir, program, image string) (archive string, err error) {
	content := filepath.Join(dir, "content")
	if err := os.MkdirAll(content, 0o755); err != nil {
		return "", err
	}
	if err := os.Link(program, filepath.Join(content, "program")); err != nil {
		return "", err
	}
	const containerfile = "FROM scratch\nCOPY program /program\nUSER 65535:65535\nENTRYPOINT [\"/program\"]\n"
	if err := os.WriteFile(filepath.Join(content, "Containerfile"), []byte(containerfile), 0o600); err != nil {
		return "", err
	}
	buildah := Buildah{Dir: filepath.Join(dir, "buildah")}
	if _, err := buildah.Run(ctx, "build", "--tag="+image, content); err != nil {
		return "", fmt.Errorf("could not build the image %s: %w", image, err)
	}
	archive = filepath.Join(dir, "image.tar")
	return archive, buildah.Export(ctx, image, archive)
}
