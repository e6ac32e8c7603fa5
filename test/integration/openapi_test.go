// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/discovery"
)

const (
	ourOpenAPIv3 = "apis/postern.dev/v1alpha1"
	ourSchemas   = "dev.postern.v1alpha1."
)

func (w *world) openAPI(path string) (document map[string]any, err error) {
	out, err := w.Kubectl(w.T.Context(), "", "get", "--raw", path)
	if err != nil {
		return nil, err
	}
	return document, json.Unmarshal([]byte(out), &document)
}

// openAPIv3Paths waits until Postern's document is listed, and returns the paths of all documents by name.
func (w *world) openAPIv3Paths() map[string]string {
	w.T.Helper()
	paths := map[string]string{}
	w.eventually(func() error {
		index, err := w.openAPI("/openapi/v3")
		if err != nil {
			return err
		}
		for name, entry := range in[map[string]any](index, "paths") {
			// The hash in the query would restrict the answer to this version of the document.
			paths[name], _, _ = strings.Cut(entry.(map[string]any)["serverRelativeURL"].(string), "?")
		}
		if paths[ourOpenAPIv3] == "" {
			return errors.New("Postern is not among the OpenAPI v3 documents yet")
		}
		return nil
	})
	return paths
}

// in returns a nested value of a document, or the zero value if it is missing.
func in[T any](document map[string]any, keys ...string) (value T) {
	for i, key := range keys {
		if i == len(keys)-1 {
			value, _ = document[key].(T)
			return value
		}
		document, _ = document[key].(map[string]any)
	}
	return value
}

// references collects all $ref values in a document.
func references(value any, into map[string]bool) {
	switch value := value.(type) {
	case map[string]any:
		for key, member := range value {
			if ref, ok := member.(string); ok && key == "$ref" {
				into[ref] = true
			}
			references(member, into)
		}
	case []any:
		for _, member := range value {
			references(member, into)
		}
	}
}

// dangling returns the references without a definition in the same document. A single one breaks kubectl for all
// resources of the cluster.
func dangling(document map[string]any) []string {
	refs := map[string]bool{}
	references(document, refs)
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	maps.DeleteFunc(refs, func(ref string, _ bool) bool {
		pointer, local := strings.CutPrefix(ref, "#/")
		keys := strings.Split(pointer, "/")
		for i := range keys {
			keys[i] = unescape.Replace(keys[i])
		}
		return local && in[any](document, keys...) != nil
	})
	return slices.Sorted(maps.Keys(refs))
}

func TestOpenAPI_DanglingReferencesAreFound(t *testing.T) {
	got := dangling(map[string]any{
		"definitions": map[string]any{"a/b": map[string]any{"$ref": "#/definitions/gone"}},
		"paths": []any{
			map[string]any{"schema": map[string]any{"$ref": "#/definitions/a~1b"}},
			map[string]any{"$ref": "elsewhere#/definitions/a~1b"},
		},
	})
	if diff := cmp.Diff([]string{"#/definitions/gone", "elsewhere#/definitions/a~1b"}, got); diff != "" {
		t.Errorf("dangling references (-want +got):\n%s", diff)
	}
}

func TestOpenAPI_V2References(t *testing.T) {
	w := newWorld(t)
	var document map[string]any
	w.eventually(func() (err error) {
		if document, err = w.openAPI("/openapi/v2"); err != nil {
			return err
		}
		if in[map[string]any](document, "definitions", ourSchemas+"WebhookDelivery") == nil {
			return errors.New("the document does not have Postern's definitions yet")
		}
		return nil
	})
	for _, ref := range dangling(document) {
		t.Errorf("%s is dangling", ref)
	}
}

func TestOpenAPI_V3References(t *testing.T) {
	w := newWorld(t)
	for name, path := range w.openAPIv3Paths() {
		document, err := w.openAPI(path)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, ref := range dangling(document) {
			t.Errorf("%s: %s is dangling", name, ref)
		}
	}
}

func TestOpenAPI_V3DescribesEveryField(t *testing.T) {
	w := newWorld(t)
	document, err := w.openAPI(w.openAPIv3Paths()[ourOpenAPIv3])
	if err != nil {
		t.Fatal(err)
	}
	ours := 0
	for name, schema := range in[map[string]any](document, "components", "schemas") {
		if !strings.HasPrefix(name, ourSchemas) {
			continue
		}
		ours++
		schema := schema.(map[string]any)
		if in[string](schema, "description") == "" {
			t.Errorf("%s has no description", name)
		}
		for field, property := range in[map[string]any](schema, "properties") {
			if in[string](property.(map[string]any), "description") == "" {
				t.Errorf("%s.%s has no description", name, field)
			}
		}
	}
	if ours == 0 {
		t.Errorf("no schema's name starts with %s", ourSchemas)
	}
}

// The kube-apiserver relays a document that it has itself to any server that publishes one of that name. Links have the
// digest of one of them, so requests for the others fail.
func TestOpenAPI_V3DocumentsOfOthersAreServed(t *testing.T) {
	const tries = 30
	w := newWorld(t)
	for _, name := range []string{"apis", "version", "api/v1", "apis/postern.dev", ourOpenAPIv3} {
		for range tries {
			index, err := w.openAPI("/openapi/v3")
			if err != nil {
				t.Fatal(err)
			}
			link := in[string](in[map[string]any](index, "paths", name), "serverRelativeURL")
			if link == "" {
				t.Fatalf("%s is not listed", name)
			}
			for _, path := range []string{link, "/openapi/v3/" + name} {
				if document, err := w.openAPI(path); err != nil || in[string](document, "info", "title") == "" {
					t.Fatalf("%s: %v, %.100v", path, err, document)
				}
			}
		}
	}
}

func TestOpenAPI_OnlyOwnPaths(t *testing.T) {
	w := newWorld(t)
	client, err := discovery.NewDiscoveryClientForConfig(w.postern.DirectConfig())
	if err != nil {
		t.Fatal(err)
	}
	for path, key := range map[string]string{"/openapi/v2": "paths", "/openapi/v3": "paths"} {
		text, err := client.RESTClient().Get().AbsPath(path).SetHeader("Accept", "application/json").DoRaw(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		document := map[string]any{}
		if err := json.Unmarshal(text, &document); err != nil {
			t.Fatal(err)
		}
		names := slices.Sorted(maps.Keys(in[map[string]any](document, key)))
		if len(names) == 0 {
			t.Errorf("%s describes nothing", path)
		}
		for _, name := range names {
			if !strings.HasPrefix(strings.TrimPrefix(name, "/"), "apis/postern.dev") {
				t.Errorf("%s describes %s", path, name)
			}
		}
	}
}
