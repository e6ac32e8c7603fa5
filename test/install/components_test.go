// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func TestComponents_TogetherInstallAndDeliver(t *testing.T) {
	c := start(t)
	if err := c.InstallFrom(t.Context(), c.combine(t, components(t))); err != nil {
		t.Fatal(err)
	}
	c.run()
	c.mustDeliver()
}

func TestComponents_OrderDoesNotMatter(t *testing.T) {
	c := start(t)
	names := components(t)
	forth := statefulSetIn(t, c.combine(t, names))
	slices.Reverse(names)
	back := statefulSetIn(t, c.combine(t, names))
	spec := &forth.Spec.Template.Spec
	for _, other := range []*[]string{&spec.Containers[0].Args, &back.Spec.Template.Spec.Containers[0].Args} {
		slices.Sort(*other)
	}
	if diff := cmp.Diff(spec.Containers[0].Args, back.Spec.Template.Spec.Containers[0].Args); diff != "" {
		t.Errorf("arguments by order of the components (-forth +back):\n%s", diff)
	}
	want := []string{
		"--etcd-cafile=/etc/postern/etcd/ca.crt",
		"--etcd-certfile=/etc/postern/etcd/tls.crt",
		"--etcd-keyfile=/etc/postern/etcd/tls.key",
		"--etcd-servers=$(ETCD_SERVERS)",
		"--leader-elect",
		"--leader-elect-resource-namespace=$(POD_NAMESPACE)",
		"--shutdown-delay-duration=10s",
		"--tls-cert-file=/etc/postern/tls/tls.crt",
		"--tls-private-key-file=/etc/postern/tls/tls.key",
	}
	if diff := cmp.Diff(want, spec.Containers[0].Args); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
}

func components(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("../../manifests/components")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// combine renders the base with components, as a user's kustomization does.
func (c *cluster) combine(t *testing.T, names []string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	manifests, err := filepath.Abs("../../manifests")
	if err != nil {
		t.Fatal(err)
	}
	if manifests, err = filepath.Rel(dir, manifests); err != nil { // kustomize rejects absolute paths
		t.Fatal(err)
	}
	kustomization := map[string]any{"resources": []string{filepath.Join(manifests, "base")}}
	var paths []string
	for _, name := range names {
		paths = append(paths, filepath.Join(manifests, "components", name))
	}
	kustomization["components"] = paths
	kustomization["patches"] = []map[string]string{{"patch": settings}}
	content, err := yaml.Marshal(kustomization)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	rendered, err := c.Render(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return rendered
}

// settings are the values that components require from the user.
const settings = `
apiVersion: v1
kind: ConfigMap
metadata: {name: postern-config, namespace: postern-system}
data: {etcd.servers: "https://etcd.example.com:2379", webhook.enable: "true", webhook.namespaces: demo}`
