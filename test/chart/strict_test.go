// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

func TestValues_KeysAreUnique(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, filepath.Join(repository, chartDir, "values.yaml")) {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for document := range strings.SplitSeq(string(content), "\n---\n") {
			if err := yaml.UnmarshalStrict([]byte(document), &map[string]any{}); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}

// Strict parsers, such as kustomize reading Helm's output, reject duplicate keys in a map. Server-side apply
// rejects duplicates in a list that has a key.
func TestValues_NoCombinationNamesTwice(t *testing.T) {
	axes := [][]string{
		{"--values=manifests/components/ha/values.yaml", "--set=persistence.enabled=false"},
		{"--values=manifests/components/cert-manager/values.yaml"},
		{"--values=test/chart/testdata/receiver.yaml", "--values=test/chart/testdata/full.yaml"},
		{"--values=test/chart/testdata/monitoring.yaml"},
		{"--values=test/chart/testdata/overlaps.yaml"},
	}
	combinations := [][]string{nil}
	for _, axis := range axes {
		for _, combination := range combinations {
			for _, arg := range axis {
				combinations = append(combinations, append(slices.Clip(combination), arg))
			}
		}
	}
	for _, args := range combinations {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			pod := renderedPod(t, args...)
			container := pod.Containers[0]
			mustDiffer(t, "volumes", pod.Volumes, func(v corev1.Volume) string { return v.Name })
			mustDiffer(t, "mounts", container.VolumeMounts, func(m corev1.VolumeMount) string { return m.MountPath })
			mustDiffer(t, "variables", container.Env, func(e corev1.EnvVar) string { return e.Name })
			mustDiffer(t, "flags", container.Args, func(arg string) string { return arg })
		})
	}
}

// mustDiffer checks that keys are unique and not empty.
func mustDiffer[T any](t *testing.T, what string, list []T, key func(T) string) {
	t.Helper()
	seen := map[string]bool{}
	for _, element := range list {
		if key(element) == "" || seen[key(element)] {
			t.Errorf("%q is empty or twice among the %s", key(element), what)
		}
		seen[key(element)] = true
	}
}

func TestValues_OverrideChart(t *testing.T) {
	objects := parse(t, mustTemplate(t,
		"--values=test/chart/testdata/monitoring.yaml", "--values=test/chart/testdata/overlaps.yaml"))
	template := as[appsv1.StatefulSet](t, objects["StatefulSet.apps postern-system/postern"]).Spec.Template
	variables := map[string]string{}
	for _, variable := range template.Spec.Containers[0].Env {
		variables[variable.Name] = variable.Value
	}
	label := func(object, name string) string { return objects[object].GetLabels()[name] }
	got := map[string]string{
		"label of the dashboard":   label("ConfigMap postern-system/postern-dashboard", "grafana_dashboard"),
		"version of the dashboard": label("ConfigMap postern-system/postern-dashboard", "app.kubernetes.io/version"),
		"name of the monitor": label("ServiceMonitor.monitoring.coreos.com postern-system/postern",
			"app.kubernetes.io/name"),
		"instance of the alerts": label("PrometheusRule.monitoring.coreos.com postern-system/postern",
			"app.kubernetes.io/instance"),
		"container of kubectl":        template.Annotations["kubectl.kubernetes.io/default-container"],
		"operating system":            template.Spec.NodeSelector["kubernetes.io/os"],
		"memory that Go keeps within": variables["GOMEMLIMIT"],
	}
	want := map[string]string{
		"label of the dashboard":      "true",
		"version of the dashboard":    "v3",
		"name of the monitor":         "prometheus",
		"instance of the alerts":      "prometheus",
		"container of kubectl":        "mesh",
		"operating system":            "",
		"memory that Go keeps within": "2GiB",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("different from the values (-want +got):\n%s", diff)
	}
}
