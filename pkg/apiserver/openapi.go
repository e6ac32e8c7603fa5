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
	patchIsRefused           = "Not allowed: what is recorded can't be changed. It is described because kubectl looks here, and nowhere else, " +
		"for whether the server validates the fields of an object that is created."
)

// DescribeFieldValidation adds to each object that can be created, but not patched, a PATCH that tells of the parameter
// fieldValidation. It is for OpenAPI v3, after the document has been built, and returns the same document.
//
// kubectl asks the server to validate what it creates only if it finds the parameter at a PATCH of the kind:
// https://github.com/kubernetes/cli-runtime/blob/v0.37.1/pkg/resource/query_param_verifier_v3.go
// Else it looks whether the kind is that of a custom resource, for which it lists all CustomResourceDefinitions, and whoever
// may not do that could not create anything with it.
func DescribeFieldValidation(document *spec3.OpenAPI) (*spec3.OpenAPI, error) {
	if document.Paths == nil {
		return document, nil
	}
	for path, object := range document.Paths.Paths {
		collection := document.Paths.Paths[strings.TrimSuffix(path, namePathSuffix)]
		if !strings.HasSuffix(path, namePathSuffix) || object.Get == nil || object.Patch != nil || collection == nil || collection.Post == nil {
			continue
		}
		parameters := collection.Post.Parameters
		i := slices.IndexFunc(parameters, func(p *spec3.Parameter) bool { return p.Name == fieldValidationParameter })
		if i < 0 {
			continue
		}
		object.Patch = refusedPatch(object.Get, parameters[i])
	}
	return document, nil
}

// refusedPatch describes the operation beside the one that gets the object.
func refusedPatch(get *spec3.Operation, fieldValidation *spec3.Parameter) *spec3.Operation {
	patch := &spec3.Operation{}
	patch.Tags = get.Tags
	patch.Description = patchIsRefused
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
