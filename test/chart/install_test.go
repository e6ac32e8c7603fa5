// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"context"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/test/controlplane"
)

const startTimeout = 3 * time.Minute

// Warnings are errors to InstallFrom, and so are fields that the kube-apiserver does not know.
func TestChartAppliesToARealClusterAndDelivers(t *testing.T) {
	c := startControlPlane(t)
	for _, values := range [][]string{
		{"--values=test/chart/testdata/full.yaml"},
		{"--values=test/chart/testdata/receiver.yaml", "--set=fullnameOverride=hooks"},
		nil, // what is run comes last
	} {
		// Whether there is a volume can't be changed, so that each begins anew.
		mustKubectl(t, c, "", "delete", "statefulset", "--all", "--namespace="+namespace)
		if err := c.InstallFrom(t.Context(), string(mustTemplate(t, values...))); err != nil {
			t.Fatal(err)
		}
	}
	postern, err := c.StartPostern(t.Context(), controlplane.PosternOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := postern.Kill(); err != nil {
			t.Error(err)
		}
	})

	mustKubectl(t, c, "", "create", "namespace", "demo")
	mustKubectl(t, c, "", "apply", "--filename=artifacts/examples/gatewaysync.yaml")
	mustKubectl(t, c, `{"apiVersion": "postern.dev/v1alpha1", "kind": "WebhookDelivery",
		"metadata": {"name": "first", "namespace": "demo"},
		"spec": {"target": {"kind": "GatewaySync", "name": "plant"}, "ref": "v1.4.0"}}`, "create", "--filename=-")
	ref := mustKubectl(t, c, "", "get", "gatewaysync/plant", "--namespace=demo",
		`--output=jsonpath={.metadata.annotations.stoker\.io/requested-ref}`)
	if ref != "v1.4.0" {
		t.Errorf("the target has the ref %q, want v1.4.0", ref)
	}
}

func TestRenamedInstallationRefersToNothingOfTheDefaultOne(t *testing.T) {
	rendered, err := run(t, nil, "bin/tools/helm", "template", "x", chartDir, "--namespace=webhooks",
		"--set=fullnameOverride=hooks", "--set=certManager.enabled=true",
		"--values=test/chart/testdata/receiver.yaml", "--values=test/chart/testdata/monitoring.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, old := range []string{"postern-system", `job="postern"`, `job=\"postern\"`} {
		if strings.Contains(string(rendered), old) {
			t.Errorf("%s is still named", old)
		}
	}
	for key, object := range parse(t, rendered) {
		if name := object.GetName(); !strings.HasPrefix(name, "hooks") && object.GetKind() != "APIService" {
			t.Errorf("%s is not renamed", key)
		}
	}
}

func startControlPlane(t *testing.T) *controlplane.ControlPlane {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	c, err := controlplane.Start(ctx, controlplane.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	mustKubectl(t, c, "", "create", "namespace", namespace)
	mustKubectl(t, c, "", "label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted",
		"pod-security.kubernetes.io/warn=restricted")
	return c
}

func mustKubectl(t *testing.T, c *controlplane.ControlPlane, stdin string, args ...string) string {
	t.Helper()
	out, err := c.Kubectl(t.Context(), stdin, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
