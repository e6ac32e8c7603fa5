// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"slices"
	"strings"

	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

const (
	fieldValidationParameter = "fieldValidation"
	namePathSuffix           = "/{name}"
	patchDescription         = "Not allowed: a delivery is immutable. The operation is described because kubectl " +
		"looks only here for whether the server validates the fields of a created object."
)

// DescribeFieldValidation adds a PATCH with the parameter fieldValidation to each object that can be created but not
// patched. It is a post-processor of the built OpenAPI v3 document and returns the same document.
//
// kubectl asks the server to validate a created object only if the PATCH of its kind has the parameter:
// https://github.com/kubernetes/cli-runtime/blob/v0.37.1/pkg/resource/query_param_verifier_v3.go Otherwise kubectl
// lists all CustomResourceDefinitions to see whether the kind is a custom resource. A user without that permission
// could not create anything with kubectl.
func DescribeFieldValidation(document *spec3.OpenAPI) (*spec3.OpenAPI, error) {
	if document.Paths == nil {
		return document, nil
	}
	for path, object := range document.Paths.Paths {
		collection := document.Paths.Paths[strings.TrimSuffix(path, namePathSuffix)]
		if !strings.HasSuffix(path, namePathSuffix) || object.Get == nil || object.Patch != nil || collection == nil ||
			collection.Post == nil {
			continue
		}
		parameters := collection.Post.Parameters
		i := slices.IndexFunc(parameters, func(p *spec3.Parameter) bool { return p.Name == fieldValidationParameter })
		if i < 0 {
			continue
		}
		object.Patch = patchOperation(object.Get, parameters[i])
	}
	return document, nil
}

// patchOperation returns the rejected PATCH for the object that get reads.
func patchOperation(get *spec3.Operation, fieldValidation *spec3.Parameter) *spec3.Operation {
	patch := &spec3.Operation{}
	patch.Tags = get.Tags
	patch.Description = patchDescription
	patch.OperationId = "patch" + strings.TrimPrefix(get.OperationId, "read")
	patch.Parameters = []*spec3.Parameter{fieldValidation}
	refused := &spec3.Response{}
	refused.Description = "Method Not Allowed"
	patch.Responses = &spec3.Responses{}
	patch.Responses.StatusCodeResponses = map[int]*spec3.Response{405: refused}
	const kindOf = "x-kubernetes-group-version-kind"
	patch.Extensions = spec.Extensions{kindOf: get.Extensions[kindOf]}
	return patch
}
