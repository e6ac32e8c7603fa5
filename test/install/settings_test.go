// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"

	"postern.dev/postern/cmd/postern/app/options"
	"postern.dev/postern/test/controlplane"
)

func TestSettings_DocumentedKeysReachPostern(t *testing.T) {
	want := map[string]string{}
	for _, setting := range options.Settings() {
		if setting.ConfigMapKey != "" {
			want[setting.Env] = "ConfigMap postern-config " + setting.ConfigMapKey
		}
	}
	if diff := cmp.Diff(want, optionalKeys(t, "manifests/base")); diff != "" {
		t.Errorf("variables of the base and their sources (-want +got):\n%s", diff)
	}
	for _, setting := range options.Settings() {
		if setting.SecretKey != "" {
			want[setting.Env] = "Secret postern-receiver-secrets " + setting.SecretKey
		}
	}
	if diff := cmp.Diff(want, optionalKeys(t, "manifests/overlays/receiver")); diff != "" {
		t.Errorf("variables of the receiver and their sources (-want +got):\n%s", diff)
	}
}

// optionalKeys maps each variable to the object and key that it is read from, if the key is optional.
func optionalKeys(t *testing.T, path string) map[string]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join("../..", controlplane.ProgramsDir(), "kubectl"), "kustomize",
		"../../"+path)
	rendered, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	sources := map[string]string{}
	for _, env := range statefulSetIn(t, string(rendered)).Spec.Template.Spec.Containers[0].Env {
		switch from := env.ValueFrom; {
		case from == nil:
		case from.ConfigMapKeyRef != nil && from.ConfigMapKeyRef.Optional != nil && *from.ConfigMapKeyRef.Optional:
			sources[env.Name] = "ConfigMap " + from.ConfigMapKeyRef.Name + " " + from.ConfigMapKeyRef.Key
		case from.SecretKeyRef != nil && from.SecretKeyRef.Optional != nil && *from.SecretKeyRef.Optional:
			sources[env.Name] = "Secret " + from.SecretKeyRef.Name + " " + from.SecretKeyRef.Key
		}
	}
	return sources
}

func statefulSetIn(t *testing.T, rendered string) *appsv1.StatefulSet {
	t.Helper()
	for document := range strings.SplitSeq(rendered, "\n---\n") {
		set := &appsv1.StatefulSet{}
		if err := yaml.Unmarshal([]byte(document), set); err == nil && set.Kind == "StatefulSet" {
			return set
		}
	}
	t.Fatal("the StatefulSet is missing")
	return nil
}
