// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package uninstall

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// inventory returns the names of all objects in the cluster, as "kubectl api-resources --verbs=list" finds them, except
// Events, which expire.
func (c *cluster) inventory() map[string]bool {
	c.t.Helper()
	config := c.RESTConfig()
	config.WarningHandlerWithContext = rest.NoWarnings{} // deprecated APIs are listed, too
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		c.t.Fatal(err)
	}
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		c.t.Fatal(err)
	}
	groups, err := discovery.ServerPreferredResources(client)
	if err != nil {
		c.t.Fatal(err)
	}
	found := map[string]bool{}
	for _, group := range groups {
		version, err := schema.ParseGroupVersion(group.GroupVersion)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, resource := range group.APIResources {
			if slices.Contains(resource.Verbs, "list") && resource.Name != "events" {
				c.take(objects, version.WithResource(resource.Name), found)
			}
		}
	}
	return found
}

// take adds the objects of one resource to found.
func (c *cluster) take(objects dynamic.Interface, resource schema.GroupVersionResource, found map[string]bool) {
	c.t.Helper()
	list, err := objects.Resource(resource).List(c.t.Context(), metav1.ListOptions{})
	if err != nil {
		c.t.Fatalf("could not list %v: %v", resource, err)
	}
	for _, object := range list.Items {
		found[fmt.Sprintf("%s %s/%s", resource.GroupResource(), object.GetNamespace(), object.GetName())] = true
	}
}
