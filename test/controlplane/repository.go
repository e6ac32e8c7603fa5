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

// ProgramsDir returns the directory of the control plane's programs, relative to the checkout. The variable K8S_VERSION
// selects a version of Kubernetes other than the default.
func ProgramsDir() string {
	if version := os.Getenv(versionVariable); version != "" {
		return filepath.Join("bin", "k8s-"+version)
	}
	return filepath.Join("bin", "k8s")
}

const versionVariable = "K8S_VERSION"

// runFirst says how to build a missing program.
func runFirst(target string, err error) error {
	if version := os.Getenv(versionVariable); version != "" {
		target += " " + versionVariable + "=" + version
	}
	return fmt.Errorf("run \"make %s\" first: %w", target, err)
}

// checkBinaries reports all missing programs.
func checkBinaries(repository string) error {
	var errs []error
	for _, name := range []string{"etcd", "kube-apiserver", "kubectl"} {
		if _, err := os.Stat(filepath.Join(repository, ProgramsDir(), name)); err != nil {
			errs = append(errs, runFirst("control-plane", err))
		}
	}
	return errors.Join(errs...)
}

func (c *ControlPlane) k8sBinary(name string) string {
	return filepath.Join(c.repository, ProgramsDir(), name)
}
