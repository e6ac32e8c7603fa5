// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// foreignModules maps API groups to the Go modules and files with their CRDs. hack/crds has the versions.
var foreignModules = map[string]struct{ module, files string }{
	"cert-manager.io": {
		"github.com/cert-manager/cert-manager", "deploy/crds/cert-manager.io_*.yaml",
	},
	"monitoring.coreos.com": {
		"github.com/prometheus-operator/prometheus-operator", "example/prometheus-operator-crd/*.yaml",
	},
}

// foreignCRDs returns the files of the third-party CRDs that an installation needs. They are downloaded on first use.
func (c *ControlPlane) foreignCRDs(ctx context.Context, rendered string) ([]string, error) {
	var all []string
	for group, source := range foreignModules {
		if !strings.Contains(rendered, "\napiVersion: "+group+"/") {
			continue
		}
		dir, err := c.downloadModule(ctx, source.module)
		if err != nil {
			return nil, err
		}
		files, err := filepath.Glob(filepath.Join(dir, source.files))
		if err != nil {
			return nil, err
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("%s has no %s", dir, source.files)
		}
		all = append(all, files...)
	}
	return all, nil
}

// downloadModule returns the directory of a module. Go verifies it with hack/crds/go.sum.
func (c *ControlPlane) downloadModule(ctx context.Context, module string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", module)
	cmd.Dir = filepath.Join(c.repository, "hack", "crds")
	answer, err := cmd.Output() // includes errors
	var downloaded struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(answer, &downloaded); jsonErr != nil || downloaded.Error != "" {
		return "", fmt.Errorf("could not download %s: %w %s", module, err, downloaded.Error)
	}
	return downloaded.Dir, nil
}
