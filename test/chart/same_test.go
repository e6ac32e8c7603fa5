// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestChartInstallsWhatTheManifestsDo(t *testing.T) {
	overlays, err := os.ReadDir(filepath.Join(repository, "manifests/overlays"))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "manifests/base")
	for _, overlay := range overlays {
		t.Run(overlay.Name(), func(t *testing.T) {
			same(t, "manifests/overlays/"+overlay.Name(), "--values=test/chart/testdata/"+overlay.Name()+".yaml")
		})
	}
}

// same compares the chart, rendered with args, with a kustomize directory.
func same(t *testing.T, dir string, args ...string) {
	t.Helper()
	chart := normalize(parse(t, mustTemplate(t, args...)))
	manifests := normalize(parse(t, kustomize(t, dir)))
	if diff := cmp.Diff(manifests, chart); diff != "" {
		t.Errorf("the chart differs from %s (-manifests +chart):\n%s", dir, diff)
	}
}
