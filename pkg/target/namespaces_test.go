// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// watched is what a watch tells of an object that has no more than a name.
func watched(change, apiVersion, kind, namespace, name, resourceVersion string) string {
	return fmt.Sprintf(`{"type": %q, "object": {"apiVersion": %q, "kind": %q, "metadata": {"namespace": %q, "name": %q, "resourceVersion": %q}}}`,
		change, apiVersion, kind, namespace, name, resourceVersion)
}

func TestNamespacesAreThoseThatHoldTargets(t *testing.T) {
	api := newFakeAPIServer(t, plantAt("v1"))
	api.serve(gatewaySyncs, &answer{text: plantAt("v1")})
	api.serve(applications, &answer{text: `{"metadata": {"namespace": "shops", "name": "shop", "resourceVersion": "1"}}`})
	api.serve(imageUpdaters, &answer{text: `{"metadata": {"namespace": "updaters", "name": "all", "resourceVersion": "1"}}`})
	cache := startCache(t, api)
	expect := func(when string, want ...string) {
		t.Helper()
		var got []string
		eventually(t, when, func() bool {
			var err error
			got, err = cache.Namespaces()
			return err == nil && cmp.Equal(want, got)
		})
	}
	expect("listed", "demo", "shops")
	api.events[applications] <- watched("ADDED", "argoproj.io/v1alpha1", "Application", "demo", "shop", "2")
	api.events[gatewaySyncs] <- watched("ADDED", "stoker.io/v1alpha1", "GatewaySync", "another", "plant", "2")
	expect("more in another", "another", "demo", "shops")
	api.events[applications] <- watched("DELETED", "argoproj.io/v1alpha1", "Application", "shops", "shop", "3")
	expect("the last of one deleted", "another", "demo")
}

func TestNamespacesAreNotKnownUntilTheCacheIsFilled(t *testing.T) {
	api := newFakeAPIServer(t, plantAt("v1"))
	cache, err := NewCache(api.config())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := cache.Namespaces(); !IsTransient(err) || got != nil {
		t.Errorf("got %v, %v; want none, and an error that passes", got, err)
	}
	if got, err := (*Cache)(nil).Namespaces(); !errors.Is(err, errNoCache) || got != nil {
		t.Errorf("without a cache: got %v, %v", got, err)
	}
}
