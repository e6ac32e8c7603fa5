// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// mergeKeys has the lists that strategic merge patches merge, and the field that identifies an element.
var mergeKeys = map[string]string{
	"containers":   "name",
	"env":          "name",
	"ports":        "containerPort",
	"volumeMounts": "mountPath",
	"volumes":      "name",
}

// component returns the files of a component that changes base to rendered. Both have text by the name of the template.
// Changes are strategic merge patches in patches.yaml. They would replace lists without a merge key as a whole; so that
// components can be combined, the changes of such a list are a JSON patch in a file that is named after the list.
//
// The kustomization deletes objects: the kustomize in kubectl 1.31 panics if a file has several patches that do.
func component(base, rendered map[string]string) (map[string]string, error) {
	files := maps.Clone(rendered)
	var patches []string
	lists := map[string][]operation{}
	for _, name := range slices.Sorted(maps.Keys(base)) {
		delete(files, name)
		before, err := parse(base[name])
		if err != nil {
			return nil, err
		}
		after, err := parse(rendered[name])
		if err != nil {
			return nil, err
		}
		for _, old := range before {
			i := slices.IndexFunc(after, func(object map[string]any) bool { return sameObject(object, old) })
			if i < 0 {
				continue
			}
			patch := difference(lists, "", old, after[i])
			after = slices.Delete(after, i, i+1)
			if len(patch) == 0 || old["kind"] == "ConfigMap" { // the settings are for the user's kustomization
				continue
			}
			text, err := yaml.Marshal(withIdentity(patch, old))
			if err != nil {
				return nil, err
			}
			patches = append(patches, string(text))
		}
		if len(after) > 0 {
			return nil, fmt.Errorf("move objects that only some values make from %s to a template of their own", name)
		}
	}
	if len(patches) > 0 {
		files["patches.yaml"] = strings.Join(patches, "---\n")
	}
	for list, operations := range lists {
		text, err := yaml.Marshal(operations)
		if err != nil {
			return nil, err
		}
		files[list+".yaml"] = string(text)
	}
	return files, nil
}

func sameObject(a, b map[string]any) bool {
	return reflect.DeepEqual(withIdentity(nil, a), withIdentity(nil, b))
}

// withIdentity adds the fields that identify an object to a patch of it.
func withIdentity(patch, object map[string]any) map[string]any {
	result, metadata := map[string]any{}, map[string]any{}
	maps.Copy(result, patch)
	if patched, ok := patch["metadata"].(map[string]any); ok {
		maps.Copy(metadata, patched)
	}
	result["apiVersion"], result["kind"], result["metadata"] = object["apiVersion"], object["kind"], metadata
	for _, field := range []string{"name", "namespace"} {
		if value, ok := object["metadata"].(map[string]any)[field]; ok {
			metadata[field] = value
		}
	}
	return result
}

// difference returns the strategic merge patch that changes before to after. It adds to lists what the patch can't do.
func difference(lists map[string][]operation, path string, before, after map[string]any) map[string]any {
	patch := map[string]any{}
	for field := range before {
		if _, ok := after[field]; !ok {
			patch[field] = nil
		}
	}
	for field, value := range after {
		path := path + "/" + field
		switch old := before[field].(type) {
		case map[string]any:
			if changed := difference(lists, path, old, value.(map[string]any)); len(changed) > 0 {
				patch[field] = changed
			}
		case []any:
			if key := mergeKeys[field]; key == "" {
				if changed := operations(path, old, value.([]any)); len(changed) > 0 {
					lists[field] = append(lists[field], changed...)
				}
			} else if changed := listDifference(lists, path, key, old, value.([]any)); len(changed) > 0 {
				patch[field] = changed
			}
		default:
			if old != value {
				patch[field] = value
			}
		}
	}
	return patch
}

// listDifference is the part of the patch for a list whose elements are maps that key identifies.
func listDifference(lists map[string][]operation, path, key string, before, after []any) []any {
	find := func(list []any, element any) map[string]any {
		for _, other := range list {
			if other := other.(map[string]any); other[key] == element.(map[string]any)[key] {
				return other
			}
		}
		return nil
	}
	var patch []any
	for i, old := range before {
		identity := map[string]any{key: old.(map[string]any)[key]}
		changed := map[string]any{"$patch": "delete"}
		if value := find(after, old); value != nil {
			changed = difference(lists, fmt.Sprintf("%s/%d", path, i), old.(map[string]any), value)
		}
		if len(changed) > 0 {
			maps.Copy(changed, identity)
			patch = append(patch, changed)
		}
	}
	for _, value := range after {
		if find(before, value) == nil {
			patch = append(patch, value)
		}
	}
	return patch
}

// operation is an element of a JSON patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// operations is the JSON patch for a list whose elements have no key. New elements are appended.
func operations(path string, before, after []any) []operation {
	contains := func(list []any, element any) bool {
		return slices.ContainsFunc(list, func(other any) bool { return reflect.DeepEqual(other, element) })
	}
	var patch []operation
	for i, old := range slices.Backward(before) {
		if !contains(after, old) {
			element := fmt.Sprintf("%s/%d", path, i)
			patch = append(patch, operation{"test", element, old}, operation{"remove", element, nil})
		}
	}
	for _, value := range after {
		if !contains(before, value) {
			patch = append(patch, operation{"add", path + "/-", value})
		}
	}
	return patch
}
