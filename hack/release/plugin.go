// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"sigs.k8s.io/yaml"
)

const (
	pluginName = "kubectl-postern"
	// completion is what kubectl calls to complete the plugin's commands.
	completion = "kubectl_complete-postern"
	// krewFile is the manifest with which krew installs the plugin.
	krewFile = "krew.yaml"
	// releases are where a release's files are.
	releases = repository + "/releases/download"
)

// buildPlugin builds the plugin of kubectl for each of its platforms, and packs it into archives with a manifest for
// krew.
func (r *release) buildPlugin(ctx context.Context, scratch string) error {
	platforms := []krewPlatform{}
	for _, platform := range r.pluginPlatforms {
		program := filepath.Join(scratch, r.pluginProgram(platform))
		environment := []string{"GOOS=" + platform.OS, "GOARCH=" + platform.Architecture, "GOFLAGS="}
		_, err := r.run(ctx, environment, "make", "--no-print-directory", "release", "PROGRAM="+pluginName,
			"RELEASE="+program, "VERSION="+r.version, "REVISION="+r.revision, "DATE="+r.date.Format(time.RFC3339))
		if err != nil {
			return err
		}
		sum, err := r.packPlugin(program, platform)
		if err != nil {
			return fmt.Errorf("could not pack the plugin for %s: %w", platform, err)
		}
		if err := r.writePluginSBOM(program, platform); err != nil {
			return err
		}
		platforms = append(platforms, r.krewPlatform(platform, sum))
	}
	return r.writeKrewManifest(platforms)
}

// packPlugin writes the archive for a platform, with what krew and users need, and returns its checksum.
func (r *release) packPlugin(program string, platform v1.Platform) (sum string, err error) {
	files := []packed{
		{name: executable(platform), path: program, mode: 0o755},
		{name: completion, path: filepath.Join(r.checkout, "artifacts/krew", completion), mode: 0o755},
		{name: "LICENSE", path: filepath.Join(r.checkout, "LICENSE"), mode: 0o644},
	}
	pack := packTar
	if platform.OS == windows {
		pack = packZip
	}
	archive, err := pack(files, r.date)
	if err != nil {
		return "", err
	}
	path := filepath.Join(r.dir, r.pluginArchive(platform))
	if err := os.WriteFile(path, archive, 0o644); err != nil {
		return "", err
	}
	return sha256File(path)
}

const windows = "windows"

func executable(platform v1.Platform) string {
	if platform.OS == windows {
		return pluginName + ".exe"
	}
	return pluginName
}

// pluginProgram is the name of the plugin for a platform, and of its SBOM without the suffix.
func (r *release) pluginProgram(platform v1.Platform) string {
	return pluginName + "-" + platform.OS + "-" + platform.Architecture
}

func (r *release) pluginArchive(platform v1.Platform) string {
	suffix := ".tar.gz"
	if platform.OS == windows {
		suffix = ".zip"
	}
	return r.pluginProgram(platform) + suffix
}

// packed is a file in an archive.
type packed struct {
	name, path string
	mode       os.FileMode
}

// packTar returns a tar.gz that is the same for the same files and time.
func packTar(files []packed, date time.Time) ([]byte, error) {
	var archive bytes.Buffer
	compressed := gzip.NewWriter(&archive)
	w := tar.NewWriter(compressed)
	for _, file := range files {
		content, err := os.ReadFile(file.path)
		if err != nil {
			return nil, err
		}
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: file.name, Mode: int64(file.mode), Size: int64(len(content)), ModTime: date,
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if err := compressed.Close(); err != nil {
		return nil, err
	}
	return archive.Bytes(), nil
}

// packZip returns a zip that is the same for the same files and time.
func packZip(files []packed, date time.Time) ([]byte, error) {
	var archive bytes.Buffer
	w := zip.NewWriter(&archive)
	for _, file := range files {
		content, err := os.ReadFile(file.path)
		if err != nil {
			return nil, err
		}
		header := &zip.FileHeader{Name: file.name, Method: zip.Deflate, Modified: date.UTC()}
		header.SetMode(file.mode)
		entry, err := w.CreateHeader(header)
		if err != nil {
			return nil, err
		}
		if _, err := entry.Write(content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return archive.Bytes(), nil
}

// krewPlatform is the plugin for one platform, in a manifest of krew:
// https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest/
type krewPlatform struct {
	Selector struct {
		MatchLabels map[string]string `json:"matchLabels"`
	} `json:"selector"`
	URI    string     `json:"uri"`
	SHA256 string     `json:"sha256"`
	Files  []krewFrom `json:"files"`
	Bin    string     `json:"bin"`
}

type krewFrom struct {
	From string `json:"from"`
	To   string `json:"to"`
}

func (r *release) krewPlatform(platform v1.Platform, sum string) krewPlatform {
	k := krewPlatform{
		URI: releases + "/" + r.version + "/" + r.pluginArchive(platform), SHA256: sum, Bin: executable(platform),
		Files: []krewFrom{{executable(platform), "."}, {completion, "."}, {"LICENSE", "."}},
	}
	k.Selector.MatchLabels = map[string]string{"os": platform.OS, "arch": platform.Architecture}
	return k
}

// writeKrewManifest writes artifacts/krew/postern.yaml, with the version and the platforms.
func (r *release) writeKrewManifest(platforms []krewPlatform) error {
	text, err := os.ReadFile(filepath.Join(r.checkout, "artifacts/krew/postern.yaml"))
	if err != nil {
		return err
	}
	stamped, err := replaceOnly(string(text), "\n  version: v0.0.0\n", "\n  version: "+r.version+"\n")
	if err != nil {
		return err
	}
	listed, err := yaml.Marshal(map[string]any{"platforms": platforms})
	if err != nil {
		return err
	}
	indented := "\n  " + strings.ReplaceAll(strings.TrimSpace(string(listed)), "\n", "\n  ") + "\n"
	stamped, err = replaceOnly(stamped, "\n  platforms: []\n", indented)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.dir, krewFile), []byte(stamped), 0o644)
}
