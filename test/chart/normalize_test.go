// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"maps"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// helmLabels are the labels that Helm's charts have on every object, and that a kustomization has no use for.
var helmLabels = []string{
	"app.kubernetes.io/instance",
	"app.kubernetes.io/managed-by",
	"app.kubernetes.io/version",
	"helm.sh/chart",
}

// normalize removes what may differ between the chart and the manifests. Nothing else may:
//
//   - Helm's own labels on objects; selectors are left as they are.
//   - The checksums by which a change of settings replaces the Pods: kustomize has "kubectl rollout restart".
//   - The Namespace: Helm makes it with --create-namespace, and can't own the one that the release is recorded in.
func normalize(objects map[string]*unstructured.Unstructured) map[string]map[string]any {
	normal := map[string]map[string]any{}
	for key, object := range objects {
		if object.GetKind() == "Namespace" {
			continue
		}
		object = object.DeepCopy()
		labels := object.GetLabels()
		for _, label := range helmLabels {
			delete(labels, label)
		}
		object.SetLabels(labels)
		if object.GetKind() == "StatefulSet" {
			removeChecksums(object)
		}
		normal[key] = object.Object
	}
	return normal
}

func removeChecksums(statefulSet *unstructured.Unstructured) {
	path := []string{"spec", "template", "metadata", "annotations"}
	annotations, _, _ := unstructured.NestedStringMap(statefulSet.Object, path...)
	maps.DeleteFunc(annotations, func(name, _ string) bool { return strings.HasPrefix(name, "checksum/") })
	_ = unstructured.SetNestedStringMap(statefulSet.Object, annotations, path...)
}
