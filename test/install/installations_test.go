// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"os"
	"path/filepath"
	"testing"

	"postern.dev/postern/test/controlplane"
)

func TestInstallations_ApplyTwiceAndDeliver(t *testing.T) {
	for _, path := range installations(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			c := start(t)
			rendered, err := c.Render(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := c.InstallFrom(t.Context(), rendered); err != nil {
					t.Fatal(err)
				}
			}
			c.run()
			c.MustKubectl(c.t, "", "rollout", "status", "statefulset/postern", "--namespace="+controlplane.Namespace,
				"--timeout=30s")
			c.mustDeliver()
		})
	}
}

func installations(t *testing.T) []string {
	t.Helper()
	const overlays = "manifests/overlays"
	entries, err := os.ReadDir(filepath.Join("..", "..", overlays))
	if err != nil {
		t.Fatal(err)
	}
	paths := []string{"manifests/base"}
	for _, entry := range entries {
		paths = append(paths, filepath.Join(overlays, entry.Name()))
	}
	return paths
}
