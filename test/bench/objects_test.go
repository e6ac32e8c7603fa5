// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"sigs.k8s.io/yaml"
)

// The API server refuses objects that their CRD does not allow.
func TestObjects_FitTheirCRD(t *testing.T) {
	for _, k := range append(kinds(), wideApplications()) {
		group, _, _ := strings.Cut(k.groupVersion, "/")
		content, err := os.ReadFile("../../artifacts/crds/" + k.plural + "." + group + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(content, &crd); err != nil {
			t.Fatal(err)
		}
		var schema apiextensions.CustomResourceValidation
		if err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(
			crd.Spec.Versions[0].Schema, &schema, nil); err != nil {
			t.Fatal(err)
		}
		validator, _, err := validation.NewSchemaValidator(schema.OpenAPIV3Schema)
		if err != nil {
			t.Fatal(err)
		}
		object := k.object("shop-1", 1)
		object["status"] = k.status("shop-1")
		encoded, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		var decoded any
		if err := json.Unmarshal(encoded, &decoded); err != nil {
			t.Fatal(err)
		}
		if errs := validation.ValidateCustomResource(nil, decoded, validator); len(errs) > 0 {
			t.Errorf("%s: %v", k.name, errs.ToAggregate())
		}
	}
}
