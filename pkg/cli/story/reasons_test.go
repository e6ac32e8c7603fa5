// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package story

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// TestReasons_AreThoseOfServer reads the reasons from the server's source: the constants whose names begin with Reason
// or, in the package of payloads, with Ignored.
func TestReasons_AreThoseOfServer(t *testing.T) {
	inServer := map[string]bool{}
	for directory, prefix := range map[string]string{
		"delivery": "Reason", "target": "Reason", "imageupdate": "Reason", "payload": "Ignored",
	} {
		found := constants(t, filepath.Join("..", "..", directory), prefix)
		if len(found) == 0 {
			t.Errorf("found no reason in pkg/%s: have the constants other names?", directory)
		}
		for _, reason := range found {
			inServer[reason] = true
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(inServer)), slices.Sorted(maps.Keys(reasons))); diff != "" {
		t.Errorf("reasons of the server (-) and of the table (+):\n%s", diff)
	}
	for name, r := range reasons {
		if !strings.HasSuffix(r.meaning, ".") || len(r.meaning) > 160 {
			t.Errorf("%s: %q is not a short sentence", name, r.meaning)
		}
	}
}

// constants returns the values of the string constants in a directory whose names have the prefix.
func constants(t *testing.T, directory, prefix string) (values []string) {
	t.Helper()
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".go") || strings.HasSuffix(entry.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(directory, entry.Name()), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			spec, ok := node.(*ast.ValueSpec)
			if !ok {
				return true
			}
			for i, name := range spec.Names {
				if !strings.HasPrefix(name.Name, prefix) || i >= len(spec.Values) {
					continue
				}
				literal, ok := spec.Values[i].(*ast.BasicLit)
				if !ok || literal.Kind != token.STRING {
					continue
				}
				value, err := strconv.Unquote(literal.Value)
				if err != nil {
					t.Fatal(err)
				}
				values = append(values, value)
			}
			return true
		})
	}
	return values
}

// TestAdvice_IsCompleteCommand checks the advice of each reason for what it depends on.
func TestAdvice_IsCompleteCommand(t *testing.T) {
	results := map[string]*v1alpha1.TargetResult{
		"none":        nil,
		"gatewaysync": {Kind: v1alpha1.TargetGatewaySync, Name: "plant", Ref: "1.0"},
		"application": {Kind: v1alpha1.TargetApplication, Name: "shop", Ref: "1.0"},
	}
	advised := map[string]bool{}
	for name, r := range reasons {
		if r.advise == nil {
			continue
		}
		for kind, result := range results {
			d := &v1alpha1.WebhookDelivery{
				ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "github-x"},
				Spec: v1alpha1.WebhookDeliverySpec{
					Source: "github",
					Events: []v1alpha1.DeliveryEvent{{
						Ref: "1.0", Image: &v1alpha1.ImageReference{Host: "ghcr.io", Repository: "a/b", Tag: "1.0"},
					}},
				},
			}
			got := r.advise(subject{[]string{"--context=prod eu"}, d, result})
			if got == "" {
				continue
			}
			advised[name] = true
			if !strings.HasPrefix(got, "kubectl ") || !strings.Contains(got, " -n demo") ||
				!strings.HasSuffix(got, " '--context=prod eu'") || strings.Contains(got, "  ") {
				t.Errorf("%s, %s: %q", name, kind, got)
			}
		}
	}
	for name, r := range reasons {
		if r.advise != nil && !advised[name] {
			t.Errorf("%s has no advice", name)
		}
	}
}

func TestMeaning_OfUnknownReasonNamesIt(t *testing.T) {
	if got := Meaning("FromTheFuture"); !strings.Contains(got, "FromTheFuture") {
		t.Errorf("got %q", got)
	}
}
