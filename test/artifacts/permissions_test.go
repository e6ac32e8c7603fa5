// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package artifacts

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// Workflows can only read, except the job that publishes, which runs no test.
func TestWorkflows_PermissionsAreMinimal(t *testing.T) {
	paths, err := filepath.Glob("../../.github/workflows/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	granted := map[string]map[string]string{}
	for _, path := range paths {
		var workflow struct {
			Permissions map[string]string `json:"permissions"`
			Jobs        map[string]struct {
				Permissions map[string]string `json:"permissions"`
			} `json:"jobs"`
		}
		if err := yaml.Unmarshal(read(t, path), &workflow); err != nil {
			t.Fatal(err)
		}
		granted[filepath.Base(path)] = workflow.Permissions
		for name, job := range workflow.Jobs {
			if job.Permissions != nil {
				granted[filepath.Base(path)+" "+name] = job.Permissions
			}
		}
	}
	readOnly := map[string]string{"contents": "read"}
	want := map[string]map[string]string{
		"release.yaml": readOnly, "test.yaml": readOnly, "test-install.yaml": readOnly,
		"test-oldest.yaml": readOnly, "verify.yaml": readOnly,
		"release.yaml release": {"contents": "write", "packages": "write", "id-token": "write"},
	}
	if diff := cmp.Diff(want, granted); diff != "" {
		t.Errorf("unexpected permissions (-want +got):\n%s", diff)
	}
}
