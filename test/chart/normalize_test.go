// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// helmLabels are labels that Helm charts set on every object and kustomizations do not.
var helmLabels = []string{
	"app.kubernetes.io/instance",
	"app.kubernetes.io/managed-by",
	"app.kubernetes.io/version",
	"helm.sh/chart",
}

// normalize removes the permitted differences between the chart and the manifests:
//
//   - Helm's own labels on objects. Selectors are unchanged.
//   - The checksum that replaces the Pods on a change of the ConfigMap; kustomize users run "kubectl rollout restart".
//   - The Namespace: Helm creates it with --create-namespace, and can't own the namespace of its release.
//   - The order of variables, ports and volumes, which have names. The order of arguments matters.
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
			removeChecksum(object)
			sortByName(object.Object)
		}
		normal[key] = object.Object
	}
	return normal
}

func removeChecksum(statefulSet *unstructured.Unstructured) {
	path := []string{"spec", "template", "metadata", "annotations"}
	annotations, _, _ := unstructured.NestedStringMap(statefulSet.Object, path...)
	maps.DeleteFunc(annotations, func(name, _ string) bool { return strings.HasPrefix(name, "checksum/") })
	_ = unstructured.SetNestedStringMap(statefulSet.Object, annotations, path...)
}

// sortByName sorts all lists of named objects, at any depth.
func sortByName(value any) {
	switch value := value.(type) {
	case map[string]any:
		for _, field := range value {
			sortByName(field)
		}
	case []any:
		slices.SortStableFunc(value, func(a, b any) int { return cmp.Compare(nameOf(a), nameOf(b)) })
		for _, element := range value {
			sortByName(element)
		}
	}
}

func nameOf(value any) string {
	object, _ := value.(map[string]any)
	name, _ := object["name"].(string)
	return name
}
