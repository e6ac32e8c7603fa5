// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

var (
	testDate      = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	testPlatforms = []v1.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "s390x"}}
)

// newTestRelease returns a release with programs of a few bytes.
func newTestRelease(t *testing.T) *release {
	t.Helper()
	r := &release{
		version: "v1.2.3", revision: "c0ffee", date: testDate, registry: "registry.example.com/team",
		platforms: testPlatforms, checkout: "../..", dir: t.TempDir(),
	}
	for _, platform := range r.platforms {
		if err := os.WriteFile(r.program(platform), []byte("for "+platform.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func newTestImage(t *testing.T, r *release) *image {
	t.Helper()
	i, err := r.newImage()
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestNewImage_HasTheProgramOfEachPlatform(t *testing.T) {
	r := newTestRelease(t)
	index := newTestImage(t, r).index
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var platforms []string
	for _, descriptor := range manifest.Manifests {
		platforms = append(platforms, descriptor.Platform.String())
		image, err := index.Image(descriptor.Digest)
		if err != nil {
			t.Fatal(err)
		}
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if got := config.Platform().String(); got != descriptor.Platform.String() {
			t.Errorf("the configuration of %s is for %s", descriptor.Platform, got)
		}
		if !config.Created.Equal(testDate) {
			t.Errorf("%s was created at %s, want the time of the commit", descriptor.Platform, config.Created)
		}
		files := files(t, image)
		if got, want := files[programInImage], "-rwxr-xr-x for "+descriptor.Platform.String(); got != want {
			t.Errorf("%s has the program %q, want %q", descriptor.Platform, got, want)
		}
		if got := files[certificatesInImage]; !strings.HasPrefix(got, "-rw-r--r-- -----BEGIN CERTIFICATE-----\n") {
			t.Errorf("%s has the certificates %q", descriptor.Platform, got)
		}
	}
	if diff := cmp.Diff([]string{"linux/amd64", "linux/s390x"}, platforms); diff != "" {
		t.Errorf("unexpected platforms (-want +got):\n%s", diff)
	}
}

func TestNewImage_IsReproducible(t *testing.T) {
	first, second := newTestImage(t, newTestRelease(t)), newTestImage(t, newTestRelease(t))
	if first.String() != second.String() {
		t.Errorf("two images of the same programs are %s and %s", first, second)
	}
	other := newTestRelease(t)
	if err := os.WriteFile(other.program(other.platforms[1]), []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	if third := newTestImage(t, other); third.String() == first.String() {
		t.Errorf("an image of another program is %s, too", third)
	}
}

// files returns the files of an image by their paths: mode and content.
func files(t *testing.T, image v1.Image) map[string]string {
	t.Helper()
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, layer := range layers {
		content, err := layer.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for archive := tar.NewReader(content); ; {
			header, err := archive.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			file, err := io.ReadAll(archive)
			if err != nil {
				t.Fatal(err)
			}
			if !header.ModTime.Equal(testDate) {
				t.Errorf("%s is of %s, want the time of the commit", header.Name, header.ModTime)
			}
			found["/"+header.Name] = header.FileInfo().Mode().String() + " " + string(file)
		}
	}
	return found
}

// The image of a release has what the Dockerfile says, from which others build their own.
func TestImageConfig_AgreesWithDockerfile(t *testing.T) {
	instructions := lastStage(t, filepath.Join("../..", "Dockerfile"))
	want := v1.Config{ExposedPorts: map[string]struct{}{}, Labels: map[string]string{}}
	var wantFiles []string
	label := regexp.MustCompile(`(\S+?)="([^"]*)"`)
	for _, instruction := range instructions {
		name, argument, _ := strings.Cut(instruction, " ")
		switch name {
		case "FROM":
			if argument != "scratch" {
				t.Errorf("the image is from %s", argument)
			}
		case "ARG":
		case "LABEL":
			for _, match := range label.FindAllStringSubmatch(argument, -1) {
				want.Labels[match[1]] = match[2]
			}
		case "COPY":
			paths := strings.Fields(argument)
			wantFiles = append(wantFiles, paths[len(paths)-1])
		case "USER":
			want.User = argument
		case "EXPOSE":
			want.ExposedPorts[argument+"/tcp"] = struct{}{}
		case "ENTRYPOINT":
			if err := json.Unmarshal([]byte(argument), &want.Entrypoint); err != nil {
				t.Error(err)
			}
		default:
			t.Errorf("the Dockerfile has the instruction %s, which this test does not know", name)
		}
	}
	if diff := cmp.Diff(want, imageConfig("${VERSION}", "${REVISION}", "${DATE}")); diff != "" {
		t.Errorf("the configuration differs from the Dockerfile (-Dockerfile +release):\n%s", diff)
	}
	slices.Sort(wantFiles)
	if diff := cmp.Diff(wantFiles, []string{certificatesInImage, programInImage}); diff != "" {
		t.Errorf("the files differ from the Dockerfile (-Dockerfile +release):\n%s", diff)
	}
}

// lastStage returns the instructions of the last stage of a Dockerfile, each in one line.
func lastStage(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var instructions []string
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\\\n", "")) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "FROM ") {
			instructions = nil
		}
		if line != "" && !strings.HasPrefix(line, "#") {
			instructions = append(instructions, line)
		}
	}
	return instructions
}
