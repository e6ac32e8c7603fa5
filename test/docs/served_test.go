// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/discovery"
)

// apiRow is a row of the first table of docs/reference/api.md: resource, kind, verbs.
var apiRow = regexp.MustCompile("(?m)^\\| `([a-z/]+)` \\| (\\w+) \\| ([a-z, ]+) \\|")

// checkServed compares the API reference with discovery. Parents without verbs are not documented.
func (c *cluster) checkServed(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(c.root, "docs", "reference", "api.md"))
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]sets.Set[string]{}
	for _, row := range apiRow.FindAllStringSubmatch(string(text), -1) {
		documented[row[2]+" "+row[1]] = sets.New(strings.Split(row[3], ", ")...)
	}
	client, err := discovery.NewDiscoveryClientForConfig(c.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	list, err := client.ServerResourcesForGroupVersion("postern.dev/v1alpha1")
	if err != nil {
		t.Fatal(err)
	}
	served := map[string]sets.Set[string]{}
	for _, resource := range list.APIResources {
		if len(resource.Verbs) > 0 {
			served[resource.Kind+" "+resource.Name] = sets.New(resource.Verbs...)
		}
	}
	if diff := cmp.Diff(served, documented); diff != "" {
		t.Errorf("docs/reference/api.md (-served +documented):\n%s", diff)
	}
}
