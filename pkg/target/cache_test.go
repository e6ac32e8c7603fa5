// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
	stokerv1alpha1 "postern.dev/postern/apis/stoker/v1alpha1"
)

func cachedRef(c *Cache) string {
	obj, ok := c.get(plant)
	if !ok {
		return ""
	}
	return obj.(*stokerv1alpha1.GatewaySync).Annotations[stokerv1alpha1.AnnotationRequestedRef]
}

func TestCache_ReadyWithoutMissingKinds(t *testing.T) {
	api := newFakeAPIServer(t, plantAt("v1"))
	cache, err := NewCache(api.config())
	if err != nil {
		t.Fatal(err)
	}
	const want = "GatewaySync is not in the cache yet\nApplication is not in the cache yet\n" +
		"ApplicationSet is not in the cache yet\nImageUpdater is not in the cache yet"
	if got := cache.Ready(); got == nil || got.Error() != want {
		t.Errorf("before the start: got %v", got)
	}

	cache = startCache(t, api)
	eventually(t, "no kind is installed", func() bool { return cache.Ready() == nil })
	if ref := cachedRef(cache); ref != "" {
		t.Errorf("found %q", ref)
	}
	api.serve(gatewaySyncs, &answer{text: plantAt("v1")})
	eventually(t, "a kind is installed later", func() bool { return cachedRef(cache) == "v1" })
}

func TestCache_NotReadyUntilFilled(t *testing.T) {
	api := newFakeAPIServer(t, plantAt("v1"))
	api.serve(gatewaySyncs, &answer{})
	api.serve(applications, forbidden)
	cache := startCache(t, api)
	eventually(t, "one kind cannot be read", func() bool {
		err := cache.Ready()
		return err != nil && strings.HasPrefix(err.Error(), "could not fill the cache of Application: ") &&
			strings.HasSuffix(err.Error(), "is forbidden")
	})
}

func TestCache_FollowsAndTransforms(t *testing.T) {
	api := newFakeAPIServer(t, plantAt("v1"))
	big := `{"apiVersion": "stoker.io/v1alpha1", "kind": "GatewaySync", "metadata": {
		"name": "plant", "namespace": "demo", "resourceVersion": "`
	rest := `", "managedFields": [{"manager": "kubectl"}], "annotations": {
		"kubectl.kubernetes.io/last-applied-configuration": "{}", "stoker.io/requested-ref": "`
	api.serve(gatewaySyncs, &answer{text: big + "1" + rest + `v1"}}}`})
	cache := startCache(t, api)
	eventually(t, "listed", func() bool { return cachedRef(cache) == "v1" })
	api.events[gatewaySyncs] <- `{"type": "MODIFIED", "object": ` + big + "2" + rest + `v2"}}}}`
	eventually(t, "changed", func() bool { return cachedRef(cache) == "v2" })

	got, _ := cache.get(plant)
	want := &stokerv1alpha1.GatewaySync{
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "plant", ResourceVersion: "2",
			Annotations: map[string]string{
				"stoker.io/requested-ref": "v2",
			}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, ok := cache.get(postern.TargetKey{Kind: postern.TargetGatewaySync, Namespace: "other", Name: "plant"}); ok {
		t.Error("found an object of another namespace")
	}
	if _, ok := cache.get(postern.TargetKey{Kind: postern.TargetApplication, Namespace: "demo", Name: "plant"}); ok {
		t.Error("found an object of a kind that is not there")
	}
}

func TestCache_IsReadFirst(t *testing.T) {
	const get, patch = "GET", "PATCH fieldManager=postern"
	for _, test := range []struct {
		name         string
		cached, live string
		refs         []string
		want         []string
		wantRequests []string
	}{
		{
			name:   "and needs no other read",
			cached: plantAt("v1"), live: plantAt("v1"),
			refs: []string{"v2"}, want: []string{`stoker.io/requested-ref "v1" → "v2"`},
			wantRequests: []string{patch},
		},
		{
			name:   "and knows what it wrote itself",
			cached: plantAt("v1"), live: plantAt("v1"),
			refs:         []string{"v2", "v3"},
			want:         []string{`stoker.io/requested-ref "v1" → "v2"`, `stoker.io/requested-ref "v2" → "v3"`},
			wantRequests: []string{patch, patch},
		},
		{
			name:   "and reads again if the cache was behind",
			cached: plantAt("v0"), live: plantAt("v1"),
			refs: []string{"v2"}, want: []string{`stoker.io/requested-ref "v1" → "v2"`},
			wantRequests: []string{patch, get, patch},
		},
		{
			name:   "and reads live before it reports that nothing changes",
			cached: plantAt("v2"), live: plantAt("v1"),
			refs: []string{"v2"}, want: []string{`stoker.io/requested-ref "v1" → "v2"`},
			wantRequests: []string{get, patch},
		},
		{
			name: "and reads live before it reports that the object is missing",
			live: plantAt("v1"),
			refs: []string{"v2"}, want: []string{`stoker.io/requested-ref "v1" → "v2"`},
			wantRequests: []string{get, patch},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			api := newFakeAPIServer(t, test.live)
			api.serve(gatewaySyncs, &answer{text: test.cached})
			cache := startCache(t, api)
			eventually(t, "filled", func() bool { return cache.Ready() == nil })
			writer, _ := newTestWriter(t, api, cache)

			var got []string
			for _, ref := range test.refs {
				outcome, err := writeOne(t.Context(), writer, plant,
					Request{DeliveryEvent: &postern.DeliveryEvent{Ref: ref, Source: "github"}, At: noon}, false)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, outcome.Message)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
			requests, _ := api.seen()
			if diff := cmp.Diff(test.wantRequests, requests); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCache_UnchangedByDryRun(t *testing.T) {
	api := newFakeAPIServer(t, plantAt("v1"))
	api.serve(gatewaySyncs, &answer{text: plantAt("v1")})
	cache := startCache(t, api)
	eventually(t, "filled", func() bool { return cachedRef(cache) == "v1" })
	writer, _ := newTestWriter(t, api, cache)
	if _, err := writeOne(t.Context(), writer, plant,
		Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2", Source: "github"}, At: noon}, true); err != nil {
		t.Fatal(err)
	}
	if ref := cachedRef(cache); ref != "v1" {
		t.Errorf("the cache has %q", ref)
	}
}

// watched is a watch event for an object that has only a name.
func watched(change, apiVersion, kind, namespace, name, resourceVersion string) string {
	return fmt.Sprintf(`{"type": %q, "object": {"apiVersion": %q, "kind": %q, "metadata": {"namespace": %q, "name": `+
		`%q, "resourceVersion": %q}}}`,
		change, apiVersion, kind, namespace, name, resourceVersion)
}

func TestCache_Namespaces(t *testing.T) {
	api := newFakeAPIServer(t, plantAt("v1"))
	api.serve(gatewaySyncs, &answer{text: plantAt("v1")})
	api.serve(applications, &answer{text: `{"metadata": {"namespace": "shops", "name": "shop", "resourceVersion": ` +
		`"1"}}`})
	api.serve(imageUpdaters, &answer{text: `{"metadata": {"namespace": "updaters", "name": "all", "resourceVersion": ` +
		`"1"}}`})
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

func TestCache_NamespacesUnknownUntilFilled(t *testing.T) {
	api := newFakeAPIServer(t, plantAt("v1"))
	cache, err := NewCache(api.config())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := cache.Namespaces(); !IsTransient(err) || got != nil {
		t.Errorf("got %v, %v; want no namespaces and a transient error", got, err)
	}
	if got, err := (*Cache)(nil).Namespaces(); !errors.Is(err, errNoCache) || got != nil {
		t.Errorf("without a cache: got %v, %v", got, err)
	}
}
