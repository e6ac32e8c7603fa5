// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/kube-openapi/pkg/spec3"
)

func operation(parameters ...string) *spec3.Operation {
	o := &spec3.Operation{}
	for _, name := range parameters {
		p := &spec3.Parameter{}
		p.Name = name
		o.Parameters = append(o.Parameters, p)
	}
	return o
}

func pathOf(get, post, patch *spec3.Operation) *spec3.Path {
	p := &spec3.Path{}
	p.Get, p.Post, p.Patch = get, post, patch
	return p
}

func TestDescribeFieldValidation_WithoutPatch(t *testing.T) {
	creatable := pathOf(operation(), operation("dryRun", "fieldValidation"), nil)
	document := &spec3.OpenAPI{Paths: &spec3.Paths{Paths: map[string]*spec3.Path{
		"/created":        creatable,
		"/created/{name}": pathOf(operation(), nil, nil),

		"/patched":        creatable,
		"/patched/{name}": pathOf(operation(), nil, operation("force")),

		"/unvalidated":        pathOf(operation(), operation("dryRun"), nil),
		"/unvalidated/{name}": pathOf(operation(), nil, nil),

		"/readonly":        pathOf(operation(), nil, nil),
		"/readonly/{name}": pathOf(operation(), nil, nil),
		"/alone/{name}":    pathOf(operation(), nil, nil),
	}}}

	if _, err := DescribeFieldValidation(document); err != nil {
		t.Fatal(err)
	}

	got := map[string][]string{}
	for path, item := range document.Paths.Paths {
		if item.Patch == nil {
			continue
		}
		got[path] = nil
		for _, p := range item.Patch.Parameters {
			got[path] = append(got[path], p.Name)
		}
	}
	want := map[string][]string{"/created/{name}": {"fieldValidation"}, "/patched/{name}": {"force"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parameters of PATCH (-want +got):\n%s", diff)
	}
	if document.Paths.Paths["/created/{name}"].Patch.Responses.StatusCodeResponses[405] == nil {
		t.Error("the response 405 is not described")
	}
}

func TestDescribeFieldValidation_WithoutPaths(t *testing.T) {
	if _, err := DescribeFieldValidation(&spec3.OpenAPI{}); err != nil {
		t.Error(err)
	}
}
