// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package uninstall

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/test/controlplane"
)

const chart = "charts/postern"

func TestHelmUninstall_LeavesNothing(t *testing.T) {
	c := newCluster(t, deleters...)
	if err := c.ApplyCRDs(t.Context(), crds); err != nil {
		t.Fatal(err)
	}
	before := c.inventory()

	c.helm("install", "postern", chart, "--create-namespace")
	c.kubectl("wait", "--for=create", "persistentvolumeclaim/data-postern-0", "--namespace="+controlplane.Namespace,
		"--timeout="+patience.String())
	c.helm("upgrade", "postern", chart, "--set-json=podLabels.team=\"delivery\"")
	label := c.kubectl("get", "statefulset", "postern", "--namespace="+controlplane.Namespace,
		"--output=jsonpath={.spec.template.metadata.labels.team}")
	if label != "delivery" {
		t.Errorf("after the upgrade the Pod has the label %q, want delivery", label)
	}
	postern := c.runPostern(c.helm("get", "manifest", "postern"))
	c.deliver("demo", "v1.0.0")
	c.deliver("other", "v1.0.0")

	c.helm("uninstall", "postern", "--wait")
	if err := postern.Kill(); err != nil {
		t.Fatal(err)
	}
	c.deleteNamespace("other") // its deletion is not blocked
	c.deleteNamespace(controlplane.Namespace)

	after := c.inventory()
	before["namespaces /demo"] = true
	before["gatewaysyncs.stoker.io demo/plant"] = true
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the cluster has changed (-before +after):\n%s", diff)
	}
}

// helm runs helm as the administrator in the root of the checkout, for Postern's namespace, and returns its output. The
// test fails if helm fails.
func (c *cluster) helm(args ...string) string {
	c.t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		c.t.Fatal(err)
	}
	program := filepath.Join(root, "bin", "tools", "helm")
	cmd := exec.CommandContext(c.t.Context(), program, append(args, "--namespace="+controlplane.Namespace)...)
	cmd.Dir = root
	cmd.Env = []string{"KUBECONFIG=" + c.AdminKubeconfig(), "HOME=" + c.t.TempDir()}
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		c.t.Fatalf("helm %q, which \"make helm\" builds: %v: %s", args, err, &stderr)
	}
	return stdout.String()
}
