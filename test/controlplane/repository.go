// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// findRepository returns the absolute path of the checkout at root, or of the one that contains the working directory
// if root is empty. The control plane's programs must have been built in it.
func findRepository(root string) (string, error) {
	if root == "" {
		root = "."
	}
	dir, err := filepath.Abs(root)
	if err != nil {
		return "", err
	}
	for {
		module, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(module), "module postern.dev/postern\n") {
			return dir, checkBinaries(dir)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("%s is not in a checkout of postern.dev/postern", root)
		}
		dir = parent
	}
}

// checkBinaries reports all missing programs.
func checkBinaries(repository string) error {
	var errs []error
	for _, name := range []string{"etcd", "kube-apiserver", "kubectl"} {
		path := filepath.Join(repository, "bin", "k8s", name)
		if _, err := os.Stat(path); err != nil {
			errs = append(errs, fmt.Errorf("run \"make control-plane\" first: %w", err))
		}
	}
	return errors.Join(errs...)
}

func (c *ControlPlane) k8sBinary(name string) string {
	return filepath.Join(c.repository, "bin", "k8s", name)
}
