// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Command manifests renders the chart of a checkout into its manifests, with the namespace and names of the default
// installation. manifests/base has what the default values make. Each component that has a values.yaml has the
// difference that these values make: whole files for new objects, and patches for changed ones. The kustomization.yaml
// of each directory lists these files, deletes objects, and is written by hand.
package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/yaml"
)

const (
	license = "# Copyright The Postern Authors\n# SPDX-License-Identifier: Apache-2.0\n"
	// notice is also how hack/update-codegen.sh finds the files of an earlier run.
	notice = "# Generated from charts/postern by \"make generate\"; do not edit.\n"
)

// helmLines matches lines that only Helm can use: its labels, and the checksum that replaces Pods when a value changes.
var helmLines = regexp.MustCompile(
	`(?m)^ *(app\.kubernetes\.io/(instance|managed-by|version)|helm\.sh/chart|checksum/config): .*\n`)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: manifests CHECKOUT")
	}
	if err := generate(os.Args[1]); err != nil {
		log.Fatalf("could not generate the manifests: %v", err)
	}
}

func generate(checkout string) error {
	postern, err := loader.LoadDir(filepath.Join(checkout, "charts/postern"))
	if err != nil {
		return err
	}
	base, err := render(postern, nil)
	if err != nil {
		return err
	}
	if err := write(filepath.Join(checkout, "manifests/base"), base); err != nil {
		return err
	}
	components, err := filepath.Glob(filepath.Join(checkout, "manifests/components/*/values.yaml"))
	if err != nil {
		return err
	}
	for _, file := range components {
		values, err := common.ReadValuesFile(file)
		if err != nil {
			return err
		}
		rendered, err := render(postern, values)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		files, err := component(base, rendered)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if err := write(filepath.Dir(file), files); err != nil {
			return err
		}
	}
	return nil
}

// render returns the objects that the chart makes, as text by the name of the template.
func render(postern *chart.Chart, values map[string]any) (map[string]string, error) {
	release := common.ReleaseOptions{Name: "postern", Namespace: "postern-system", Revision: 1, IsInstall: true}
	all, err := util.ToRenderValues(postern, values, release, nil)
	if err != nil {
		return nil, err
	}
	rendered, err := engine.Render(postern, all)
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for path, text := range rendered {
		if filepath.Ext(path) == ".yaml" && strings.Contains(text, "\nkind: ") {
			text = helmLines.ReplaceAllString(strings.TrimPrefix(text, license), "")
			files[filepath.Base(path)] = strings.TrimSpace(text) + "\n"
		}
	}
	return files, nil
}

// write writes files of YAML, by name, into dir.
func write(dir string, files map[string]string) error {
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(license+notice+"\n"+text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// parse returns the objects of a YAML stream.
func parse(text string) ([]map[string]any, error) {
	var objects []map[string]any
	for document := range strings.SplitSeq(text, "\n---\n") {
		object := map[string]any{}
		if err := yaml.UnmarshalStrict([]byte(document), &object); err != nil {
			return nil, fmt.Errorf("%w in\n%s", err, document)
		}
		if len(object) > 0 {
			objects = append(objects, object)
		}
	}
	return objects, nil
}
