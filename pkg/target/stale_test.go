// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/imageupdate"
)

// shopNow is the Application demo/shop with these annotations. It runs nginx:1.25.
func shopNow(version, annotations string) string {
	return `{"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
		"metadata": {"namespace": "demo", "name": "shop", "resourceVersion": "` + version + `",
			"annotations": {"team": "shop"` + annotations + `}},
		"spec": {"source": {"repoURL": "https://git.acme.io/shop", "targetRevision": "v1",
			"kustomize": {"images": ["nginx:1.25"]}}},
		"status": {"sourceType": "Kustomize", "summary": {"images": ["nginx:1.25"]}}}`
}

// behind serves an Application and ImageUpdater objects to a Writer whose cache has older ones.
func behind(
	t *testing.T, cached, live string, cachedUpdater, liveUpdater *iuv1alpha1.ImageUpdater,
) (*fakeAPIServer, *Writer) {
	t.Helper()
	text := func(updater *iuv1alpha1.ImageUpdater, version int) string {
		if updater == nil {
			return ""
		}
		return versioned(t, updater, version)
	}
	api := newFakeAPIServer(t, live)
	api.path = "/apis/argoproj.io/v1alpha1/namespaces/demo/applications/shop"
	api.serve(gatewaySyncs, &answer{})
	api.serve(applications, &answer{text: cached})
	api.serve(imageUpdaters, &answer{text: text(cachedUpdater, 1)})
	cache := startCache(t, api)
	eventually(t, "filled", func() bool { return cache.Ready() == nil })
	api.serve(imageUpdaters, &answer{text: text(liveUpdater, 2)}) // the watch sends no event
	writer, _ := newTestWriter(t, api, cache)
	return api, writer
}

func TestStale_UnseenChangeCounts(t *testing.T) {
	const (
		optIn   = `, "postern.dev/update-target-revision": "true"`
		list    = `, "argocd-image-updater.argoproj.io/image-list": "web=nginx"`
		allow   = `, "argocd-image-updater.argoproj.io/web.allow-tags": "regexp:^1[.]"`
		ignore  = `, "argocd-image-updater.argoproj.io/ignore-tags": "2.*"`
		byGit   = `, "argocd-image-updater.argoproj.io/write-back-method": "git"`
		follows = `, "postern.dev/follow-tags": ">=1"`
	)
	ref := Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2", RefType: postern.RefTypeTag,
		Repository: "https://git.acme.io/shop"}}
	followed := ref
	followed.IfFollowed = true
	pushed := Request{DeliveryEvent: &postern.DeliveryEvent{Image: image(t, "nginx:2.0")}}
	ofAll, ofOnes := updaterWith("demo", "images", "*", "nginx"), updaterWith("demo", "images", "*", "nginx:1.x")
	for name, test := range map[string]struct {
		cached, live    string
		cachedUpdater   *iuv1alpha1.ImageUpdater
		liveUpdater     *iuv1alpha1.ImageUpdater
		request         Request
		wantRevision    string
		wantImage       string
		mustBeUntouched bool
	}{
		"an opt-in that was added": {
			"", optIn, nil, nil, ref, "v2", "nginx:1.25", false,
		},
		"an opt-in that was removed": {
			optIn, "", nil, nil, ref, "v1", "nginx:1.25", false,
		},
		"a wish to follow tags that was added": {
			"", follows, nil, nil, followed, "v1", "nginx:1.25", false,
		},
		"a wish to follow tags that was removed": {
			follows, "", nil, nil, followed, "v1", "nginx:1.25", true,
		},
		"images that are listed": {
			"", list, nil, nil, pushed, "v1", "nginx:2.0", false,
		},
		"images that are no longer listed": {
			list, "", nil, nil, pushed, "v1", "nginx:1.25", false,
		},
		"an allow-list that was added": {
			list, list + allow, nil, nil, pushed, "v1", "nginx:1.25", true,
		},
		"an allow-list that was removed": {
			list + allow, list, nil, nil, pushed, "v1", "nginx:2.0", false,
		},
		"tags to ignore, of all images": {
			list, list + ignore, nil, nil, pushed, "v1", "nginx:1.25", true,
		},
		"commits instead of writes": {
			list, list + byGit, nil, nil, pushed, "v1", "nginx:1.25", false,
		},
		"an ImageUpdater that was added": {
			"", "", nil, ofAll, pushed, "v1", "nginx:2.0", false,
		},
		"an ImageUpdater that was deleted": {
			"", "", ofAll, nil, pushed, "v1", "nginx:1.25", false,
		},
		"an ImageUpdater that forbids more": {
			"", "", ofAll, ofOnes, pushed, "v1", "nginx:1.25", true,
		},
		"an ImageUpdater that forbids less": {
			"", "", ofOnes, ofAll, pushed, "v1", "nginx:2.0", false,
		},
		"an ImageUpdater instead of annotations": {
			list, list, nil, ofOnes, pushed, "v1", "nginx:1.25", true,
		},
		"annotations as the ImageUpdater is gone": {
			list, list, ofOnes, nil, pushed, "v1", "nginx:2.0", false,
		},
		"an opt-in that was added, and an unrelated ImageUpdater": {
			"", optIn, ofAll, nil, ref, "v2", "nginx:1.25", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			api, writer := behind(t, shopNow("1", test.cached), shopNow("2", test.live), test.cachedUpdater,
				test.liveUpdater)
			_, before := api.seen()
			test.request = withEvent(test.request, func(e *postern.DeliveryEvent) { e.Source = "github" })
			test.request.At, test.request.Received = noon, noon
			if _, err := writeOne(t.Context(), writer, shopKey, test.request, false); err != nil {
				t.Fatal(err)
			}
			_, after := api.seen()
			source := appOf(t, after).Spec.Source
			if got := *source.TargetRevision; got != test.wantRevision {
				t.Errorf("targetRevision is %s, want %s", got, test.wantRevision)
			}
			if got := source.Kustomize.Images[0]; got != test.wantImage {
				t.Errorf("the image is %s, want %s", got, test.wantImage)
			}
			if untouched := before == after; untouched != test.mustBeUntouched {
				t.Errorf("untouched: %t", untouched)
			}
		})
	}
}

func TestStale_UnwantedTagsCostOneReadAndList(t *testing.T) {
	const wanted = `, "argocd-image-updater.argoproj.io/image-list": "web=nginx:~9"`
	api, writer := behind(t, shopNow("1", wanted), shopNow("1", wanted), nil, nil)
	var requests []Request
	for i := range 256 {
		requests = append(requests, Request{
			DeliveryEvent: &postern.DeliveryEvent{Image: image(t, fmt.Sprintf("nginx:1.%d", i)), Source: "quay.io"},
			At:            noon, Received: noon,
		})
	}
	for i, result := range writer.Write(t.Context(), shopKey, requests, false) {
		if result.Err != nil || result.Reason != "ConstraintNotMet" {
			t.Fatalf("%d: got %+v", i, result)
		}
	}
	if requests, _ := api.seen(); len(requests) != 1 || api.listed != 1 {
		t.Errorf("cost %q and %d lists", requests, api.listed)
	}
}

func TestStale_WantedTagsCostOneWrite(t *testing.T) {
	const wanted = `, "argocd-image-updater.argoproj.io/image-list": "web=nginx"`
	api, writer := behind(t, shopNow("1", wanted), shopNow("1", wanted), nil, nil)
	var requests []Request
	for i := range 256 {
		requests = append(requests, Request{
			DeliveryEvent: &postern.DeliveryEvent{Image: image(t, fmt.Sprintf("nginx:2.%d", i)), Source: "quay.io"},
			At:            noon, Received: minute(i),
		})
	}
	for i, result := range writer.Write(t.Context(), shopKey, requests, false) {
		if result.Err != nil || !result.Held {
			t.Fatalf("%d: got %+v", i, result)
		}
	}
	sent, object := api.seen()
	if got := appOf(t, object).Spec.Source.Kustomize.Images[0]; got != "nginx:2.255" || len(sent) != 1 {
		t.Errorf("holds %s after %q", got, sent)
	}
	planned, err := planFor(t.Context(), trimmed(t, postern.TargetApplication, shopNow("1", wanted)), requests,
		planState{})
	if err != nil {
		t.Fatal(err)
	}
	if len(planned.patch) > 50 {
		t.Errorf("the patch has %d steps", len(planned.patch))
	}
}

func TestStale_GatewaySyncCostsOneWrite(t *testing.T) {
	api := newFakeAPIServer(t, plantAt("v1"))
	api.serve(gatewaySyncs, &answer{text: plantAt("v1")})
	cache := startCache(t, api)
	eventually(t, "filled", func() bool { return cache.Ready() == nil })
	writer, _ := newTestWriter(t, api, cache)
	if _, err := writeOne(t.Context(), writer, plant,
		Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2", Source: "github"}, At: noon, Received: noon},
		false); err != nil {
		t.Fatal(err)
	}
	if requests, _ := api.seen(); len(requests) != 1 || api.listed != 0 {
		t.Errorf("cost %q and %d lists", requests, api.listed)
	}
}

func TestStale_ListsAreShared(t *testing.T) {
	_, writer := behind(t, shopNow("1", ""), shopNow("1", ""), nil, nil)
	lists := writer.updaters
	list, mu, count := lists.list, sync.Mutex{}, map[string]int{}
	lists.list = func(ctx context.Context, namespace string) ([]*imageupdate.Updater, error) {
		mu.Lock()
		count[namespace]++
		mu.Unlock()
		return list(ctx, namespace)
	}
	read := func(namespace string, since time.Time) {
		t.Helper()
		if _, err := lists.get(t.Context(), namespace, since); err != nil {
			t.Error(err)
		}
	}
	began := time.Now()
	for range 100 {
		read("demo", began)
	}
	if count["demo"] != 1 {
		t.Errorf("100 targets of one delivery cost %d lists", count["demo"])
	}
	read("other", began)
	read("demo", time.Now())
	if count["demo"] != 2 || count["other"] != 1 {
		t.Errorf("got %v lists", count)
	}
	read("demo", time.Now().Add(time.Hour)) // as if the clock was set back
	var running sync.WaitGroup
	count["demo"] = 0
	for range 200 {
		running.Go(func() { read("demo", time.Now()) })
	}
	running.Wait()
	if count["demo"] >= 200 {
		t.Errorf("200 deliveries at once cost %d lists", count["demo"])
	}
}
