// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"postern.dev/postern/test/node"
)

// image is an image of Postern.
type image struct {
	dir     string // removed at the end
	name    string
	tag     string
	archive string
}

const (
	imageName = "registry.example.com/postern"
	caBundle  = "/etc/ssl/certs/ca-certificates.crt"
)

// releasedImage builds the last stage of the Dockerfile of a checkout with the output of its "make release", which
// another stage compiles otherwise. TestImage builds the whole.
func releasedImage(ctx context.Context, checkout, tag string) (image, error) {
	dir, err := os.MkdirTemp("", "postern-image-")
	if err != nil {
		return image{}, err
	}
	i := image{dir: dir, name: imageName, tag: tag, archive: filepath.Join(dir, "postern.tar")}
	dockerfile, err := os.ReadFile(filepath.Join(checkout, "Dockerfile"))
	if err != nil {
		return i, err
	}
	_, last, found := strings.Cut(string(dockerfile), "\nFROM scratch\n")
	if !found {
		return i, fmt.Errorf("the last stage of the Dockerfile does not begin with FROM scratch")
	}
	last = "FROM scratch\n" + strings.ReplaceAll(last, "COPY --from=build ", "COPY ")
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(last), 0o600); err != nil {
		return i, err
	}
	for from, to := range map[string]string{
		filepath.Join(checkout, "bin", "release", "postern"): "postern",
		caBundle: caBundle,
	} {
		if err := copyFile(from, filepath.Join(dir, to)); err != nil {
			return i, err
		}
	}
	buildah := node.Buildah{Dir: filepath.Join(dir, "buildah")}
	if _, err := buildah.Run(ctx, "build", "--tag="+i.reference(), dir); err != nil {
		return i, fmt.Errorf("could not build the image: %w", err)
	}
	return i, buildah.Export(ctx, i.reference(), i.archive)
}

func (i image) reference() string { return i.name + ":" + i.tag }

func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o755)
}
