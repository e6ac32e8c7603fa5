// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/imageupdate"
)

// shopWith is the Application demo/shop with Helm parameters. It runs nginx:1.25.
func shopWith(parameters string) string {
	return `{"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
		"metadata": {"namespace": "demo", "name": "shop", "resourceVersion": "1", "annotations": {"team": "shop"}},
		"spec": {"source": {"repoURL": "https://git.acme.io/shop", "helm": {"releaseName": "shop", "parameters": ` +
		parameters + `}}},
		"status": {"sourceType": "Helm", "summary": {"images": ["nginx:1.25"]}}}`
}

// newShop serves the Application live and an ImageUpdater object that sets its parameter "web". The cache has the
// Application cached, if any.
func newShop(t *testing.T, cached, live string) (*fakeAPIServer, *Writer) {
	t.Helper()
	updater := updaterWith("demo", "images", "shop", "nginx:1.x")
	updater.Spec.ApplicationRefs[0].Images[0].ManifestTargets = &iuv1alpha1.ManifestTargets{
		Helm: &iuv1alpha1.HelmTarget{Spec: new("web")},
	}

	api := newFakeAPIServer(t, live)
	api.path = "/apis/argoproj.io/v1alpha1/namespaces/demo/applications/shop"
	api.serve(gatewaySyncs, &answer{})
	api.serve(applications, &answer{text: cached})
	api.serve(imageUpdaters, &answer{text: versioned(t, updater, 1)})
	cache := startCache(t, api)
	eventually(t, "filled", func() bool { return cache.Ready() == nil })
	writer, _ := newTestWriter(t, api, cache)
	return api, writer
}

func TestWriter_Image(t *testing.T) {
	const get, patch = "GET", "PATCH fieldManager=postern"
	at := func(tag string) string { return shopWith(`[{"name": "web", "value": "nginx:` + tag + `"}]`) }
	written := Result{
		Changes: []Change{{Field: "postern.dev/requested-ref", New: "nginx:1.26"},
			{Field: "spec.source.helm.parameters", Old: "web=nginx:1.25", New: "web=nginx:1.26"}},
		Held: true, Reason: imageupdate.ReasonNewerVersion,
	}
	appended := Result{
		Changes: []Change{written.Changes[0], {Field: "spec.source.helm.parameters", New: "web=nginx:1.26"}},
		Held:    true, Reason: imageupdate.ReasonNewerVersion,
	}
	for _, test := range []struct {
		name           string
		cached, live   string
		pushed         string // nginx:1.26 if empty
		dryRun         bool
		before         func(*fakeAPIServer, string, int) *answer
		want           Result
		wantRequests   []string
		wantParameters string
	}{
		{
			name:   "reads from the cache first",
			cached: at("1.25"), live: at("1.25"), want: written, wantRequests: []string{patch},
			wantParameters: `[{"name": "web", "value": "nginx:1.26", "forceString": true}]`,
		},
		{
			name:   "stores nothing in a dry run",
			cached: at("1.25"), live: at("1.25"), dryRun: true, want: written,
			wantRequests:   []string{"PATCH dryRun=All&fieldManager=postern"},
			wantParameters: `[{"name": "web", "value": "nginx:1.25"}]`,
		},
		{
			name:   "decides again if the list differs from the cache",
			cached: at("1.24"), live: shopWith(`[{"name": "x", "value": "y"}, {"name": "web", "value": "nginx:1.25"}]`),
			want: written, wantRequests: []string{patch, get, patch},
			wantParameters: `[{"name": "x", "value": "y"}, {"name": "web", "value": "nginx:1.26", "forceString": ` +
				`true}]`,
		},
		{
			name:   "decides again if another client writes meanwhile",
			cached: at("1.25"), live: at("1.25"),
			before: func(api *fakeAPIServer, method string, n int) *answer {
				if method == http.MethodPatch && n == 1 {
					api.set(at("1.27"))
				}
				return nil
			},
			want: Result{Reason: imageupdate.ReasonOlderVersion}, wantRequests: []string{patch, get},
			wantParameters: `[{"name": "web", "value": "nginx:1.27"}]`,
		},
		{
			name:   "is not rejected for fields that our types lose",
			cached: shopWith(`[{"name": "", "value": null, "new": 7}]`),
			live:   shopWith(`[{"name": "", "value": null, "new": 7}]`),
			want:   appended, wantRequests: []string{patch, get, patch},
			wantParameters: `[{"name": "", "value": null, "new": 7}, {"name": "web", "value": "nginx:1.26", ` +
				`"forceString": true}]`,
		},
		{
			name:   "recognizes its own write whose answer was lost",
			cached: at("1.25"), live: at("1.25"),
			before: func(api *fakeAPIServer, method string, n int) *answer {
				if method == http.MethodPatch && n == 1 {
					api.set(at("1.26"))
					return broken
				}
				return nil
			},
			want: written, wantRequests: []string{patch, get},
			wantParameters: `[{"name": "web", "value": "nginx:1.26"}]`,
		},
		{
			name:   "does not report a write whose answer was lost and that is not in effect",
			cached: at("1.25"), live: at("1.25"),
			before: func(api *fakeAPIServer, method string, n int) *answer {
				if method == http.MethodPatch && n == 1 {
					api.set(at("1.27"))
					return broken
				}
				return nil
			},
			want: Result{Reason: imageupdate.ReasonOlderVersion}, wantRequests: []string{patch, get},
			wantParameters: `[{"name": "web", "value": "nginx:1.27"}]`,
		},
		{
			name:   "does not write an image that is up to date, after a live read",
			cached: at("1.26"), live: at("1.26"),
			want:           Result{Held: true, Reason: imageupdate.ReasonUpToDate},
			wantRequests:   []string{get},
			wantParameters: `[{"name": "web", "value": "nginx:1.26"}]`,
		},
		{
			name:   "does not write an image that is not wanted, after a live read",
			cached: at("1.25"), live: at("1.25"), pushed: "nginx:2.0",
			want:           Result{Reason: imageupdate.ReasonConstraintNotMet},
			wantRequests:   []string{get},
			wantParameters: `[{"name": "web", "value": "nginx:1.25"}]`,
		},
		{
			name:   "annotates if another image is configured",
			cached: at("1.25"), live: at("1.25"), pushed: "redis:7",
			want: Result{Changes: []Change{{Field: "postern.dev/requested-ref", New: "redis:7"}},
				Held: true, Reason: ReasonRequested},
			wantRequests:   []string{patch},
			wantParameters: `[{"name": "web", "value": "nginx:1.25"}]`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			api, writer := newShop(t, test.cached, test.live)
			api.before = test.before
			if test.pushed == "" {
				test.pushed = "nginx:1.26"
			}
			got, err := writeOne(t.Context(), writer, shopKey,
				Request{DeliveryEvent: &postern.DeliveryEvent{Image: image(t, test.pushed), Source: "harbor"},
					At: noon}, test.dryRun)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, ignoreMessage); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
			requests, object := api.seen()
			if diff := cmp.Diff(test.wantRequests, requests); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			var after any
			decode(t, object, &after)
			expectObject(t, test.wantParameters, encode(t, valueAt(after, "/spec/source/helm/parameters")))
		})
	}
}

func TestWriter_ImageTwice(t *testing.T) {
	at := func(tag string) string { return shopWith(`[{"name": "web", "value": "nginx:` + tag + `"}]`) }
	api, writer := newShop(t, at("1.25"), at("1.25"))
	for i, tag := range []string{"1.26", "1.27"} {
		got, err := writeOne(t.Context(), writer, shopKey,
			Request{DeliveryEvent: &postern.DeliveryEvent{Image: image(t, "nginx:"+tag), Source: "harbor"}, At: noon},
			false)
		if err != nil || len(got.Changes) != 2 {
			t.Fatalf("got %v, %v", got, err)
		}
		if want := fmt.Sprintf("web=nginx:1.%d", 25+i); got.Changes[1].Old != want {
			t.Errorf("started from %s, want %s", got.Changes[1].Old, want)
		}
	}
	if requests, _ := api.seen(); len(requests) != 2 {
		t.Errorf("got requests %v", requests)
	}
}
