// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

const manifestsFile = "install.yaml"

// kustomization is all that the base may consist of: then its files, one after another, are what kustomize makes of it.
type kustomization struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Resources  []string `json:"resources"`
}

// baseImage matches where manifests/base names the image.
var baseImage = regexp.MustCompile(`image: "` + regexp.QuoteMeta(publicImage) + `:[^"]+"`)

// writeManifests writes manifests/base as one file, with the image by its digest.
func (r *release) writeManifests(image *image) error {
	base, err := readBase(filepath.Join(r.checkout, "manifests/base"))
	if err != nil {
		return err
	}
	named := baseImage.FindString(base)
	base, err = replaceOnly(base, named, `image: "`+image.tag.Context().Name()+":"+image.pinned()+`"`)
	if err != nil {
		return fmt.Errorf("manifests/base: %w", err)
	}
	return os.WriteFile(filepath.Join(r.dir, manifestsFile), []byte(base), 0o644)
}

// readBase returns the files that the kustomization in a directory lists, as one stream of YAML.
func readBase(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, "kustomization.yaml"))
	if err != nil {
		return "", err
	}
	var base kustomization
	if err := yaml.UnmarshalStrict(text, &base); err != nil {
		return "", fmt.Errorf("kustomization.yaml: %w", err)
	}
	files := make([]string, 0, len(base.Resources))
	for _, resource := range base.Resources {
		file, err := os.ReadFile(filepath.Join(dir, resource))
		if err != nil {
			return "", err
		}
		files = append(files, strings.TrimSpace(string(file))+"\n")
	}
	return strings.Join(files, "---\n"), nil
}
