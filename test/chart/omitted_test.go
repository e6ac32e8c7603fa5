// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// A value and a component each omit the policies, and nothing else.
func TestThePoliciesCanBeLeftOut(t *testing.T) {
	root, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	up, err := filepath.Rel(dir, root)
	if err != nil {
		t.Fatal(err)
	}
	kustomization := fmt.Sprintf("resources: [%[1]s/manifests/base]\ncomponents: [%[1]s/manifests/components/without-admission-policies]\n", up)
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(kustomization), 0o600); err != nil {
		t.Fatal(err)
	}
	same(t, dir, "--set=admissionPolicies.enabled=false")
	for key, object := range parse(t, kustomize(t, dir)) {
		if object.GroupVersionKind().Group == "admissionregistration.k8s.io" {
			t.Errorf("%s is still there", key)
		}
	}
}
