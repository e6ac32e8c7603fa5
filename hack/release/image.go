// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"maps"
	"os"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// The files in the image. A test compares them and imageConfig with the Dockerfile.
const (
	programInImage      = "/postern"
	certificatesInImage = "/etc/ssl/certs/ca-certificates.crt"
)

// imageConfig returns how the image is run, and its labels.
func imageConfig(version, revision, date string) v1.Config {
	return v1.Config{
		User:         "65532:65532",
		ExposedPorts: map[string]struct{}{"8443/tcp": {}},
		Entrypoint:   []string{programInImage},
		Labels: map[string]string{
			"org.opencontainers.image.title":         "Postern",
			"org.opencontainers.image.description":   "Webhooks through the kube-apiserver",
			"org.opencontainers.image.url":           "https://postern.dev",
			"org.opencontainers.image.source":        "https://github.com/postern-dev/postern",
			"org.opencontainers.image.documentation": "https://github.com/postern-dev/postern/tree/main/docs",
			"org.opencontainers.image.licenses":      "Apache-2.0",
			"org.opencontainers.image.version":       version,
			"org.opencontainers.image.revision":      revision,
			"org.opencontainers.image.created":       date,
		},
	}
}

// image is an OCI index with an image for each platform.
type image struct {
	tag   name.Tag
	index v1.ImageIndex
	// digest is that of the index, digests are those of the images.
	digest  v1.Hash
	digests map[string]v1.Hash
}

// newImage makes the image from the programs, which have been built.
func (r *release) newImage() (*image, error) {
	tag, err := name.NewTag(r.registry + "/postern:" + r.version)
	if err != nil {
		return nil, err
	}
	certificates, err := layer(certificatesInImage, 0o644, r.date, authorities)
	if err != nil {
		return nil, err
	}
	config := imageConfig(r.version, r.revision, r.date.Format(time.RFC3339))
	// Registries show the annotations of an index, and not the labels of its images.
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	index = mutate.Annotations(index, maps.Clone(config.Labels)).(v1.ImageIndex)
	i := &image{tag: tag, digests: map[string]v1.Hash{}}
	for _, platform := range r.platforms {
		program, err := layer(programInImage, 0o755, r.date,
			func() ([]byte, error) { return os.ReadFile(r.program(platform)) })
		if err != nil {
			return nil, err
		}
		forPlatform, err := platformImage(platform, config, r.date, certificates, program)
		if err != nil {
			return nil, err
		}
		if i.digests[platform.String()], err = forPlatform.Digest(); err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index,
			mutate.IndexAddendum{Add: forPlatform, Descriptor: v1.Descriptor{Platform: &platform}})
	}
	i.index = index
	i.digest, err = index.Digest()
	return i, err
}

func platformImage(platform v1.Platform, config v1.Config, date time.Time, layers ...v1.Layer) (v1.Image, error) {
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	base, err := mutate.ConfigFile(base, &v1.ConfigFile{
		OS: platform.OS, Architecture: platform.Architecture, Variant: platform.Variant, Config: config,
		Created: v1.Time{Time: date}, RootFS: v1.RootFS{Type: "layers"},
	})
	if err != nil {
		return nil, err
	}
	return mutate.AppendLayers(base, layers...)
}

// layer returns a layer with one file, which read reads whenever its content is needed.
func layer(path string, mode int64, date time.Time, read func() ([]byte, error)) (v1.Layer, error) {
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		content, err := read()
		if err != nil {
			return nil, err
		}
		var archive bytes.Buffer
		w := tar.NewWriter(&archive)
		err = w.WriteHeader(&tar.Header{Name: path[1:], Mode: mode, Size: int64(len(content)), ModTime: date})
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
		return io.NopCloser(&archive), w.Close()
	}, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
}

// push pushes the index with all that it refers to. The credentials are Docker's.
func (i *image) push(ctx context.Context) error {
	return remote.WriteIndex(i.tag, i.index,
		remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain))
}

// String returns the reference of the index by its digest.
func (i *image) String() string { return i.tag.Context().Digest(i.digest.String()).String() }

// pinned returns the tag and the digest of the index: what is run is the digest, and a reader sees the version.
func (i *image) pinned() string { return i.tag.TagStr() + "@" + i.digest.String() }

// forPlatform returns the reference of one image by its digest.
func (i *image) forPlatform(platform v1.Platform) string {
	return i.tag.Context().Digest(i.digests[platform.String()].String()).String()
}
