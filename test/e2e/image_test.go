// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"postern.dev/postern/test/node"
)

const (
	// buildArguments are what "make image" gives, with fixed values.
	version, revision, date = "v1.2.3", "0123456789abcdef0123456789abcdef01234567", "2026-01-02T03:04:05Z"
	// maxImage bounds the compressed size, in bytes.
	maxImage = 60 << 20
)

// TestImage builds the whole Dockerfile twice for each platform.
func TestImage(t *testing.T) {
	if suite.skip != "" {
		t.Skip(suite.skip)
	}
	buildah := node.Buildah{Dir: kept("buildah")} // with the base image
	base := exec.CommandContext(t.Context(), "hack/golang-image.sh", buildah.Options()...)
	base.Dir = suite.repository
	if output, err := base.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	for _, architecture := range []string{"amd64", "arm64"} {
		t.Run(architecture, func(t *testing.T) {
			first := buildDockerfile(t, buildah, architecture, "first")
			second := buildDockerfile(t, buildah, architecture, "second")
			if first != second || !strings.HasPrefix(first, "sha256:") {
				t.Errorf("two builds have the digests %q and %q, want the same", first, second)
			}
			checkImage(t, filepath.Join(t.TempDir(), "image"), buildah, imageTag(architecture, "first"), architecture)
		})
	}
}

func imageTag(architecture, build string) string {
	return "localhost/postern-" + architecture + ":" + build
}

// buildDockerfile builds the image as "make image" does, and returns its digest. It compiles with this machine's cache
// of Go, as a builder with a cache would.
func buildDockerfile(t *testing.T, buildah node.Buildah, architecture, build string) string {
	t.Helper()
	environment, err := exec.CommandContext(t.Context(), "go", "env", "GOCACHE", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	caches := strings.Fields(string(environment))
	tag := imageTag(architecture, build)
	_, err = buildah.Run(t.Context(), "build", "--no-cache", "--platform=linux/"+architecture, "--timestamp=0",
		"--tag="+tag,
		"--build-arg=VERSION="+version, "--build-arg=REVISION="+revision, "--build-arg=DATE="+date,
		"--build-arg=BUILDPLATFORM="+runtime.GOOS+"/"+runtime.GOARCH, // older versions of buildah do not set it
		"--volume="+caches[0]+":/root/.cache/go-build", "--volume="+caches[1]+":/go/pkg/mod", suite.repository)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := buildah.Run(t.Context(), "inspect", "--type=image", "--format={{.FromImageDigest}}", tag)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// imageConfig is what is read of an image's configuration.
type imageConfig struct {
	Architecture string
	Config       struct {
		User       string
		Entrypoint []string
		Labels     map[string]string
	}
}

// checkImage writes the image to a directory, compressed as in a registry, and checks it.
func checkImage(t *testing.T, dir string, buildah node.Buildah, tag, architecture string) {
	t.Helper()
	if _, err := buildah.Run(t.Context(), "push", "--quiet", "--compression-format=gzip", tag, "dir:"+dir); err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		Config struct{ Digest string }
		Layers []struct{ Size int64 }
	}
	readJSON(t, filepath.Join(dir, "manifest.json"), &manifest)
	var size int64
	for _, layer := range manifest.Layers {
		size += layer.Size
	}
	t.Logf("%s: %d bytes compressed", tag, size)
	if size > maxImage {
		t.Errorf("the image has %d bytes, want %d at most", size, maxImage)
	}
	var config imageConfig
	readJSON(t, filepath.Join(dir, strings.TrimPrefix(manifest.Config.Digest, "sha256:")), &config)
	if config.Architecture != architecture || config.Config.User != "65532:65532" ||
		fmt.Sprint(config.Config.Entrypoint) != "[/postern]" {
		t.Errorf("the image is for %s, and runs %q as %q", config.Architecture, config.Config.Entrypoint,
			config.Config.User)
	}
	for label, want := range map[string]string{
		"title": "Postern", "licenses": "Apache-2.0", "version": version, "revision": revision, "created": date,
	} {
		if got := config.Config.Labels["org.opencontainers.image."+label]; got != want {
			t.Errorf("the label %s is %q, want %q", label, got, want)
		}
	}
}

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, into); err != nil {
		t.Fatal(err)
	}
}
