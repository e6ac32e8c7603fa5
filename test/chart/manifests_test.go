// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The manifests are rendered from the chart, but their kustomizations are written by hand, and components are patches.
func TestManifests_EqualChart(t *testing.T) {
	mustInstallTheSame(t, "manifests/base")
	components, err := os.ReadDir(filepath.Join(repository, "manifests/components"))
	if err != nil {
		t.Fatal(err)
	}
	for _, component := range components {
		t.Run(component.Name(), func(t *testing.T) {
			path := "manifests/components/" + component.Name()
			args := []string{"--values=" + path + "/values.yaml"}
			if component.Name() == "monitoring" {
				args = append(args, "--set=prometheusRule.enabled=true,grafanaDashboard.enabled=true")
			}
			mustInstallTheSame(t, withComponent(t, path), args...)
		})
	}
}

// withComponent returns the directory of a kustomization with the base and a component.
func withComponent(t *testing.T, path string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	if root, err = filepath.Rel(dir, root); err != nil { // kustomize rejects absolute paths
		t.Fatal(err)
	}
	kustomization := fmt.Sprintf("resources: [%[1]s/manifests/base]\ncomponents: [%[1]s/%[2]s]\n", root, path)
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(kustomization), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// helmKeys matches what only Helm sets: labels, and the checksum that replaces the Pods on a change of the ConfigMap.
var helmKeys = regexp.MustCompile(
	`^(app\.kubernetes\.io/(instance|managed-by|version)|helm\.sh/chart|checksum/config)$`)

// mustInstallTheSame compares the chart, rendered with args, with a kustomize directory.
func mustInstallTheSame(t *testing.T, dir string, args ...string) {
	t.Helper()
	chart, manifests := parse(t, mustTemplate(t, args...)), parse(t, kustomize(t, dir))
	delete(manifests, "Namespace /postern-system") // Helm can't own the namespace of its release
	for _, objects := range []map[string]*unstructured.Unstructured{chart, manifests} {
		delete(objects, "ConfigMap postern-system/postern-config") // its settings are the user's
	}
	diff := cmp.Diff(manifests, chart,
		cmpopts.IgnoreMapEntries(func(key string, _ any) bool { return helmKeys.MatchString(key) }),
		// Patches add elements at other places. The order of variables, volumes, flags and rules does not matter.
		cmpopts.SortSlices(func(a, b any) bool { return fmt.Sprint(a) < fmt.Sprint(b) }))
	if diff != "" {
		t.Errorf("the chart differs from %s (-manifests +chart):\n%s", dir, diff)
	}
}
