// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const imageUpdaterPrefix = "argocd-image-updater.argoproj.io/"

// lastMinute is a change by an owner immediately before a delivery.
type lastMinute struct {
	name string
	// had are the Application's annotations before the change.
	had string
	// change is the owner's change.
	change func(w *world, name string)
	// image is true if the delivery is a push of nginx:2.0, and false if it is of the git ref v2.
	image bool
	// revision and images are the expected final state of the Application.
	revision string
	images   []string
}

func annotate(key string, value any) func(*world, string) {
	return func(w *world, name string) {
		w.T.Helper()
		patch := mustJSON(w.T, map[string]any{"metadata": map[string]any{"annotations": map[string]any{key: value}}})
		_, err := w.Objects.Resource(applications).Namespace(w.Namespace).
			Patch(w.T.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{})
		if err != nil {
			w.T.Fatal(err)
		}
	}
}

// updaterOf creates an ImageUpdater that selects some tags of nginx for one Application.
func updaterOf(name, constraint string) string {
	return fmt.Sprintf(`
apiVersion: argocd-image-updater.argoproj.io/v1alpha1
kind: ImageUpdater
metadata: {name: %s}
spec: {applicationRefs: [{namePattern: %[1]s, images: [{alias: web, imageName: 'nginx%s'}]}]}`, name, constraint)
}

var lastMinutes = []lastMinute{
	{name: "opts-in", had: "team: a", change: annotate("postern.dev/update-target-revision", "true"), revision: "v2",
		images: []string{"nginx:1.25"}},
	{name: "opts-out", had: `postern.dev/update-target-revision: "true"`,
		change:   annotate("postern.dev/update-target-revision", nil),
		revision: "v1", images: []string{"nginx:1.25"}},
	{name: "allows-less", had: imageUpdaterPrefix + "image-list: web=nginx", image: true,
		change: annotate(imageUpdaterPrefix+"web.allow-tags", "regexp:^1[.]"), revision: "v1",
		images: []string{"nginx:1.25"}},
	{name: "allows-more", had: imageUpdaterPrefix + "image-list: web=nginx, " + imageUpdaterPrefix +
		`web.allow-tags: "regexp:^1[.]"`, image: true,
		change: annotate(imageUpdaterPrefix+"web.allow-tags", nil), revision: "v1", images: []string{"nginx:2.0"}},
	{name: "adds-updater", had: "team: a", image: true,
		change: func(w *world, name string) { w.Create(imageUpdaters, updaterOf(name, "")) }, revision: "v1",
		images: []string{"nginx:2.0"}},
	{name: "adds-strict-updater", had: imageUpdaterPrefix + "image-list: web=nginx", image: true,
		change: func(w *world, name string) { w.Create(imageUpdaters, updaterOf(name, ":1.x")) }, revision: "v1",
		images: []string{"nginx:1.25"}},
}

// Postern's watch delivers a change some milliseconds after it was made. A delivery immediately after a change must not
// be evaluated against the old state.
func TestCache_ChangeBeforeDeliveryCounts(t *testing.T) {
	const rounds = 70 // rounds of each change
	w := newWorld(t)
	ci := w.ci()
	for _, test := range lastMinutes {
		for i := range rounds {
			w.Create(applications, fmt.Sprintf(`
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: %s-%d, annotations: {%s}}
spec:
  project: default
  destination: {name: in-cluster, namespace: shop}
  source: {repoURL: "https://github.com/example/shop.git", path: deploy, targetRevision: v1,
      kustomize: {images: ["nginx:1.25"]}}
status: {sourceType: Kustomize, summary: {images: ["nginx:1.25"]}}`, test.name, i, test.had))
		}
	}
	cloudEvents := map[string]string{"Content-Type": "application/cloudevents+json"}
	const git = `{"ref": "refs/tags/v2", "repository": "https://github.com/example/shop.git"}`
	for _, test := range lastMinutes {
		wrong, example := 0, ""
		for i := range rounds {
			name := fmt.Sprintf("%s-%d", test.name, i)
			body, header := git, map[string]string(nil)
			if test.image {
				header = cloudEvents
				body = fmt.Sprintf(
					`{"specversion": "1.0", "id": %q, "type": "org.example.image.push", "source": "https://docker.io",
					"data": {"repositoryName": "library/nginx", "imageTag": "2.0", "registryUrl": "docker.io"}}`, name)
			}
			test.change(w, name)
			d := ci.mustPost(t, applicationPath(name), body, header, http.StatusAccepted).delivery(t)
			source := in[map[string]any](w.Get(applications, name).Object, "spec", "source")
			images := in[[]any](source, "kustomize", "images")
			if source["targetRevision"] != test.revision || fmt.Sprint(images) != fmt.Sprint(test.images) {
				wrong, example = wrong+1, fmt.Sprintf("%s has %v and %v after %s: %s", name, source["targetRevision"],
					images, d.Status.Reason, d.Status.Message)
			}
		}
		if wrong > 0 {
			t.Errorf("%s: %d of %d were evaluated against the old state; e.g. %s", test.name, wrong, rounds, example)
		}
	}
}
