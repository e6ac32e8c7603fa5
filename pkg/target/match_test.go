// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern"
	stokerv1alpha1 "postern.dev/postern/apis/stoker/v1alpha1"
)

func listOf(t testing.TB, obj object) string {
	t.Helper()
	switch obj.(type) {
	case *stokerv1alpha1.GatewaySync:
		return gatewaySyncs
	case *argov1alpha1.Application:
		return applications
	case *argov1alpha1.ApplicationSet:
		return applicationSets
	case *iuv1alpha1.ImageUpdater:
		return imageUpdaters
	}
	t.Fatalf("no list of %T", obj)
	return ""
}

func syncIn(namespace, name, repository, ref string, annotations map[string]string) *stokerv1alpha1.GatewaySync {
	sync := syncOf(annotations, ref)
	sync.Namespace, sync.Name, sync.Spec.Git.Repo = namespace, name, repository
	return sync
}

func appIn(
	namespace, name string, annotations map[string]string, sources ...argov1alpha1.ApplicationSource,
) *argov1alpha1.Application {
	app := applicationOf(annotations, sources...)
	app.Namespace, app.Name = namespace, name
	return app
}

func TestMatch_GitRef(t *testing.T) {
	tags, broken := map[string]string{AnnotationFollowTags: ">=1"}, map[string]string{AnnotationFollowTags: "latest"}
	api, cache := startCacheOf(t,
		syncIn("demo", "main", "https://git.acme.io/shop", "main", nil),
		syncIn("demo", "head", "git@git.acme.io:shop.git", "", nil),
		syncIn("demo", "tags", shop, "v1.0.0", tags),
		syncIn("demo", "broken", shop, "v1.0.0", broken),
		syncIn("demo", "values", values, "main", tags),
		syncIn("other", "main", shop, "main", tags),
		syncIn("demo", "nowhere", "", "main", tags),
		appIn("demo", "main", nil, source(values, "main"), source(shop, "main")),
		appIn("demo", "tags", tags, source(shop, "v1.0.0")),
		appIn("demo", "newer", tags, source(shop, "v2.0.0")),
		appIn("demo", "broken", broken, source(shop, "main")),
		appIn("other", "tags", tags, source(shop, "main")),
	)
	for _, test := range []struct {
		namespace string
		pushed    Request
		want      []string
	}{
		{"demo", branch("main"), []string{"Application/broken", "Application/main", "GatewaySync/main"}},
		{"demo", defaultBranch("main"), []string{"Application/broken", "Application/main", "GatewaySync/head",
			"GatewaySync/main"}},
		{"demo", branch("feature"), nil},
		{"demo", tag("v1.5.0"), []string{"Application/broken!", "Application/tags", "GatewaySync/broken!",
			"GatewaySync/tags"}},
		{"demo", tag("nightly"), []string{"Application/broken!", "GatewaySync/broken!"}},
		{"other", tag("v1.5.0"), []string{"Application/tags", "GatewaySync/main"}},
		{"nowhere", tag("v1.5.0"), nil},
		{"demo", Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "main", RefType: postern.RefTypeBranch}}, nil},
	} {
		if diff := cmp.Diff(test.want, matched(t, cache, test.namespace, test.pushed)); diff != "" {
			t.Errorf("%s in %s (-want +got):\n%s", test.pushed.Ref, test.namespace, diff)
		}
	}

	moved := appIn("demo", "main", nil, source(values, "main"))
	api.events[applications] <- `{"type": "MODIFIED", "object": ` + versioned(t, moved, 100) + `}`
	eventually(t, "an Application has another source", func() bool {
		return slices.Equal(matched(t, cache, "demo", branch("main")),
			[]string{"Application/broken", "GatewaySync/main"})
	})
}

func TestMatch_Image(t *testing.T) {
	labeled := appWith("demo", "labeled", "")
	labeled.Labels = map[string]string{"tier": "web"}
	byLabel := updaterWith("demo", "by-label", "*", "ghcr.io/acme/web")
	byLabel.Spec.ApplicationRefs[0].LabelSelectors = &metav1.LabelSelector{MatchLabels: labeled.Labels}
	objects := []object{
		labeled, byLabel,
		updaterWith("demo", "images", "selected-*", "nginx"),
		updaterWith("other", "images", "annotated-*", "redis"),
		syncIn("demo", "sync", shop, "main", nil),
	}
	var want []string
	for i := range 10 {
		objects = append(objects,
			appWith("demo", fmt.Sprintf("annotated-%d", i), "web=nginx:~1.26"),
			appWith("demo", fmt.Sprintf("busybox-%d", i), "busybox"),
			appWith("demo", fmt.Sprintf("plain-%d", i), ""),
			appWith("demo", fmt.Sprintf("selected-%d", i), "busybox"),
			appWith("other", fmt.Sprintf("annotated-%d", i), "nginx"))
		want = append(want, fmt.Sprintf("Application/annotated-%d", i), fmt.Sprintf("Application/selected-%d", i))
	}
	slices.Sort(want)
	api, cache := startCacheOf(t, objects...)
	nginx := Request{DeliveryEvent: &postern.DeliveryEvent{Image: image(t, "docker.io/library/nginx:1.26")}}
	if diff := cmp.Diff(want, matched(t, cache, "demo", nginx)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	web := Request{DeliveryEvent: &postern.DeliveryEvent{Image: image(t, "ghcr.io/acme/web:1")}}
	if got := matched(t, cache, "demo", web); !slices.Equal(got, []string{"Application/labeled"}) {
		t.Errorf("by label: got %v", got)
	}
	if got := matched(t, cache, "other", nginx); got != nil {
		t.Errorf("in another namespace: got %v", got)
	}

	// Concurrent callers get either result, and nothing in between.
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for range 100 {
				if got := matched(t, cache, "demo", nginx); len(got) != 20 && len(got) != 10 {
					t.Errorf("got %v", got)
				}
			}
		})
	}
	gone := updaterWith("demo", "images", "selected-*", "nginx")
	api.events[imageUpdaters] <- `{"type": "DELETED", "object": ` + versioned(t, gone, 100) + `}`
	eventually(t, "the object is gone", func() bool { return len(matched(t, cache, "demo", nginx)) == 10 })
	asking.Wait()

	if _, err := cache.Matches("demo", Request{DeliveryEvent: &postern.DeliveryEvent{Image: image(t,
		"nginx")}}); err != nil {
		t.Errorf("an image without a tag: got %v", err)
	}
	notAnImage := *nginx.Image
	notAnImage.Repository = "NGINX"
	if _,
		err := cache.Matches("demo", Request{DeliveryEvent: &postern.DeliveryEvent{Image: &notAnImage}}); err == nil ||
		IsTransient(err) {
		t.Errorf("no image: got %v", err)
	}
}

func TestMatch_UnknownUntilCacheIsFilled(t *testing.T) {
	git, nginx := branch("main"), Request{DeliveryEvent: &postern.DeliveryEvent{Image: image(t, "nginx:1.26")}}
	for _, test := range []struct {
		forbidden                string
		gitUnknown, imageUnknown bool
	}{
		{gatewaySyncs, true, false},
		{applications, true, true},
		{imageUpdaters, false, true},
	} {
		t.Run(test.forbidden, func(t *testing.T) {
			api := newFakeAPIServer(t, plantAt("v1"))
			for path := range lists {
				api.serve(path, &answer{})
			}
			api.serve(test.forbidden, forbidden)
			cache, err := NewCache(api.config())
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range []Request{git, nginx} {
				if _, err := cache.Matches("demo", r); !IsTransient(err) {
					t.Errorf("before the start: got %v", err)
				}
			}
			cache = startCache(t, api)
			known := func(r Request) bool {
				_, err := cache.Matches("demo", r)
				if err != nil && !IsTransient(err) {
					t.Errorf("got %v", err)
				}
				return err == nil
			}
			eventually(t, "all known matches are found", func() bool {
				return (test.gitUnknown || known(git)) && (test.imageUnknown || known(nginx))
			})
			if test.gitUnknown && known(git) || test.imageUnknown && known(nginx) {
				t.Error("got matches that can't be known")
			}
		})
	}
}

func TestMatch_UnknownWhileIndexIsBehind(t *testing.T) {
	_, cache := startCacheOf(t)
	nginx := Request{DeliveryEvent: &postern.DeliveryEvent{Image: image(t, "nginx:1.26")}}
	for _, kind := range []postern.TargetKind{postern.TargetApplication, imageUpdaterResource.kind} {
		indexed := cache.kinds[kind].indexed
		cache.kinds[kind].indexed = func() bool { return false }
		if _, err := cache.Matches("demo", nginx); !IsTransient(err) {
			t.Errorf("%s: got %v", kind, err)
		}
		if cache.Ready() == nil {
			t.Errorf("%s: the cache is ready", kind)
		}
		cache.kinds[kind].indexed = indexed
	}
	if got := matched(t, cache, "demo", nginx); got != nil {
		t.Errorf("got %v", got)
	}
}
