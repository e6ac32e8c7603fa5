// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"errors"
	"testing"
)

func TestExactTestsUseTheValuesOfTheDocument(t *testing.T) {
	const document = `{"a~b/c": "", "list": [{"x": null, "n": 12345678901234567890}, "", false], "null": null}`
	patch := []operation{{Op: "add", Path: "/list/0", Value: "an edit stays"}}
	for _, path := range []string{
		"/a~0b~1c", "/list", "/list/0/n", "/list/1", "/list/2", "/null",
		"/missing", "/null/x", "/list/3", "/list/-1", "/list/-", "/a~0b~1c/x",
	} {
		patch = append(patch, operation{Op: "test", Path: path, Value: "what our types hold"})
	}
	got, err := exactTests(patch, []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	if patch[1].Value != "what our types hold" {
		t.Error("the patch itself was changed")
	}
	expectPatch(t, `[
		{"op": "add", "path": "/list/0", "value": "an edit stays"},
		{"op": "test", "path": "/a~0b~1c", "value": ""},
		{"op": "test", "path": "/list", "value": [{"x": null, "n": 12345678901234567890}, "", false]},
		{"op": "test", "path": "/list/0/n", "value": 12345678901234567890},
		{"op": "test", "path": "/list/1", "value": ""},
		{"op": "test", "path": "/list/2", "value": false},
		{"op": "test", "path": "/null", "value": null},
		{"op": "test", "path": "/missing", "value": null},
		{"op": "test", "path": "/null", "value": null},
		{"op": "test", "path": "/list/3", "value": null},
		{"op": "test", "path": "/list/-1", "value": null},
		{"op": "test", "path": "/list/-", "value": null},
		{"op": "test", "path": "/a~0b~1c/x", "value": null}]`, got)
	if encoded := encode(t, got[3].Value); encoded != "12345678901234567890" {
		t.Errorf("a number became %s", encoded)
	}
}

func TestExactTestsRefuseWhatCannotBeTested(t *testing.T) {
	patch := []operation{{Op: "test", Path: "/images", Value: []string{"nginx:1", ""}}}
	if _, err := exactTests(patch, []byte(`{"images": ["nginx:1", null]}`)); !errors.Is(err, errNullItem) {
		t.Errorf("a list with null: got %v", err)
	}
	if _, err := exactTests(patch, []byte(`{"images"`)); err == nil {
		t.Error("no JSON: got no error")
	}
}
