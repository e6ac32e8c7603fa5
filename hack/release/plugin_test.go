// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"sigs.k8s.io/yaml"
)

var pluginPlatforms = []v1.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "windows", Architecture: "arm64"}}

// entry is a file in an archive.
type entry struct {
	Mode    os.FileMode
	Content string
}

func readTar(t *testing.T, archive []byte) map[string]entry {
	t.Helper()
	compressed, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]entry{}
	for r := tar.NewReader(compressed); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = entry{os.FileMode(header.Mode), string(content)}
	}
}

func readZip(t *testing.T, archive []byte) map[string]entry {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]entry{}
	for _, file := range r.File {
		opened, err := file.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(opened)
		if err != nil {
			t.Fatal(err)
		}
		files[file.Name] = entry{file.Mode(), string(content)}
	}
	return files
}

func TestPackPlugin_IsTheSameForTheSameFiles(t *testing.T) {
	r := newTestRelease(t)
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("a program"), 0o700); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		content, err := os.ReadFile(filepath.Join(r.checkout, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	for i, platform := range pluginPlatforms {
		var sums [2]string
		for n := range sums {
			var err error
			if sums[n], err = r.packPlugin(program, platform); err != nil {
				t.Fatal(err)
			}
		}
		if sums[0] != sums[1] {
			t.Errorf("two archives for %s differ", platform)
		}
		name := []string{"kubectl-postern-linux-amd64.tar.gz", "kubectl-postern-windows-arm64.zip"}[i]
		archive, err := os.ReadFile(filepath.Join(r.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		unpack := []func(*testing.T, []byte) map[string]entry{readTar, readZip}[i]
		want := map[string]entry{
			[]string{"kubectl-postern", "kubectl-postern.exe"}[i]: {0o755, "a program"},
			completion: {0o755, read("artifacts/krew/" + completion)},
			"LICENSE":  {0o644, read("LICENSE")},
		}
		if diff := cmp.Diff(want, unpack(t, archive)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestKrewManifest_HasVersionArchivesAndChecksums(t *testing.T) {
	r := newTestRelease(t)
	var platforms []krewPlatform
	for _, platform := range pluginPlatforms {
		platforms = append(platforms, r.krewPlatform(platform, "sum of "+platform.OS))
	}
	if err := r.writeKrewManifest(platforms); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(r.dir, krewFile))
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		APIVersion, Kind string
		Metadata         struct{ Name string }
		Spec             struct {
			Version, Homepage, ShortDescription, Description, Caveats string
			Platforms                                                 []krewPlatform
		}
	}
	if err := yaml.Unmarshal(text, &manifest); err != nil {
		t.Fatal(err)
	}
	if manifest.Kind != "Plugin" || manifest.Metadata.Name != "postern" || manifest.Spec.Version != "v1.2.3" ||
		manifest.Spec.ShortDescription == "" || manifest.Spec.Description == "" || manifest.Spec.Homepage == "" {
		t.Errorf("unexpected manifest:\n%s", text)
	}
	if diff := cmp.Diff(platforms, manifest.Spec.Platforms); diff != "" {
		t.Errorf("unexpected platforms (-want +got):\n%s", diff)
	}
	for i, want := range []string{
		"https://github.com/postern-dev/postern/releases/download/v1.2.3/kubectl-postern-linux-amd64.tar.gz",
		"https://github.com/postern-dev/postern/releases/download/v1.2.3/kubectl-postern-windows-arm64.zip",
	} {
		if got := manifest.Spec.Platforms[i].URI; got != want {
			t.Errorf("got the address %s, want %s", got, want)
		}
	}
}
