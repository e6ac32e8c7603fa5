// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Command applicationcrd writes Argo CD's CRD of Applications, or of ApplicationSets, without its descriptions. They
// are half of it, and with them it would be too large for the annotation that "kubectl apply" writes. The templates of
// an ApplicationSet, each of which repeats the schema of an Application, accept anything.
//
//	applicationcrd VERSION application-crd.yaml >artifacts/crds/applications.argoproj.io.yaml
package main

import (
	"fmt"
	"log"
	"os"

	"sigs.k8s.io/yaml"
)

const header = `# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# Generated from the CRD of Argo CD %s by hack/applicationcrd, without descriptions%s; DO NOT EDIT.
# It is for clusters without Argo CD, such as the one of "make up". With Argo CD, use its CRD:
# https://github.com/argoproj/argo-cd.
`

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: applicationcrd VERSION FILE")
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func run(version, path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var crd map[string]any
	if err := yaml.Unmarshal(data, &crd); err != nil {
		return err
	}
	dropDescriptions(crd)
	note := ""
	if openTemplates(crd) {
		note = " and schemas of templates"
	}
	out, err := yaml.Marshal(crd)
	if err != nil {
		return err
	}
	_, err = fmt.Printf(header+"%s", version, note, out)
	return err
}

// dropDescriptions removes the descriptions in a schema. A property that is named so is no text, and is kept.
func dropDescriptions(value any) {
	switch value := value.(type) {
	case map[string]any:
		if _, isText := value["description"].(string); isText {
			delete(value, "description")
		}
		for _, child := range value {
			dropDescriptions(child)
		}
	case []any:
		for _, child := range value {
			dropDescriptions(child)
		}
	}
}

// openTemplates replaces the schemas of templates of Applications by one that accepts anything, and reports whether
// there are any.
func openTemplates(value any) (found bool) {
	switch value := value.(type) {
	case map[string]any:
		for name, child := range value {
			if schema, ok := child.(map[string]any); ok && name == "template" && schema["properties"] != nil {
				value[name] = map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
				found = true
				continue
			}
			found = openTemplates(child) || found
		}
	case []any:
		for _, child := range value {
			found = openTemplates(child) || found
		}
	}
	return found
}
