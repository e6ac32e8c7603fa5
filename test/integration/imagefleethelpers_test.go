// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// member returns a member of an object, and creates it if it is missing.
func member(object map[string]any, name string) map[string]any {
	if found, ok := object[name].(map[string]any); ok {
		return found
	}
	made := map[string]any{}
	object[name] = made
	return made
}

// setByName replaces the entry of the same name, or appends it.
func setByName(object map[string]any, list string, entry map[string]any) {
	entries, _ := object[list].([]any)
	for i, old := range entries {
		if old.(map[string]any)["name"] == entry["name"] {
			entries[i] = entry
			return
		}
	}
	object[list] = append(entries, entry)
}

// nameOf returns the name of the Application of a kind that runs an image.
func (k fleetKind) nameOf(image fleetImage) string { return image.slug + "-" + k.name }

// fill replaces the placeholders in YAML.
func (k fleetKind) fill(yaml string, image fleetImage) string {
	_, repository, _ := strings.Cut(image.full, "/")
	return strings.NewReplacer("IMAGE", image.configured, "ELSEWHERE", "elsewhere.example.org/"+repository,
		"APP", k.nameOf(image)).Replace(yaml)
}

// fleet creates an Application of each kind for each image, and the ImageUpdater objects for them.
func (w *world) fleet(images []fleetImage) {
	w.T.Helper()
	for _, image := range images {
		for _, kind := range fleetKinds {
			w.Create(applications, kind.application(image))
			if kind.updater == "" {
				continue
			}
			w.Create(imageUpdaters, kind.fill(`
apiVersion: argocd-image-updater.argoproj.io/v1alpha1
kind: ImageUpdater
metadata: {name: APP}
spec: {`+kind.updater+`}`, image))
		}
	}
}

func (k fleetKind) application(image fleetImage) string {
	annotations := []string{"example.com/note: keep me"}
	for name, value := range k.annotations {
		annotations = append(annotations, "argocd-image-updater.argoproj.io/"+name+": '"+value+"'")
	}
	return k.fill(`
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: APP, labels: {app: APP}, annotations: {`+strings.Join(annotations, ", ")+`}}
spec: {project: default, destination: {name: in-cluster, namespace: shop}, `+k.sources+`}
status: {sync: {status: Synced}, `+k.status+`}`, image)
}

// updated returns the expected Application after a push of the image, without annotations.
func (k fleetKind) updated(app *unstructured.Unstructured, image fleetImage, tag string) *unstructured.Unstructured {
	app = app.DeepCopy()
	if k.update != nil {
		k.update(app.Object["spec"].(map[string]any), image.configured, tag)
	}
	return app
}
