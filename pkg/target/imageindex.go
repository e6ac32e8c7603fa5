// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/pkg/imageupdate"
)

// imageIndex finds Applications by the images that they want updated. What an
// Application wants depends on the ImageUpdater objects of its namespace as well,
// so an informer's own index, which sees one object at a time, would not do. The
// zero value is ready to use. It is safe for concurrent use.
type imageIndex struct {
	mu         sync.Mutex
	namespaces map[string]*namespaceImages
}

// find returns the names of the Applications in a namespace that want an image
// updated, sorted. An image that has no valid name is an error.
func (x *imageIndex) find(namespace, image string) ([]string, error) {
	key, err := imageupdate.NormalizeName(image)
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	ns, ok := x.namespaces[namespace]
	if !ok {
		return nil, nil
	}
	return slices.Clone(ns.find(key)), nil
}

// updatersIn returns the ImageUpdater objects of a namespace, in no order. They
// must not be modified.
func (x *imageIndex) updatersIn(namespace string) []*iuv1alpha1.ImageUpdater {
	x.mu.Lock()
	defer x.mu.Unlock()
	if ns, ok := x.namespaces[namespace]; ok {
		return slices.Collect(maps.Values(ns.updaters))
	}
	return nil
}

// change changes what is known of a namespace.
func (x *imageIndex) change(namespace string, apply func(*namespaceImages)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	ns, ok := x.namespaces[namespace]
	if !ok {
		ns = newNamespaceImages()
	}
	apply(ns)
	if ns.empty() {
		delete(x.namespaces, namespace)
		return
	}
	if x.namespaces == nil {
		x.namespaces = map[string]*namespaceImages{}
	}
	x.namespaces[namespace] = ns
}

// namespaceImages is the part of the index that is about one namespace.
type namespaceImages struct {
	updaters     map[string]*iuv1alpha1.ImageUpdater
	applications map[string]indexedApplication
	// byImage has the names of Applications, sorted, by the normalised name of an image.
	byImage map[string][]string
	// stale is set if byImage must be made anew before it is read.
	stale bool
}

// indexedApplication is an Application and the keys under which byImage has it.
type indexedApplication struct {
	*argov1alpha1.Application
	images []string
}

func newNamespaceImages() *namespaceImages {
	return &namespaceImages{
		updaters:     map[string]*iuv1alpha1.ImageUpdater{},
		applications: map[string]indexedApplication{},
		byImage:      map[string][]string{},
	}
}

func (ns *namespaceImages) empty() bool {
	return len(ns.applications)+len(ns.updaters) == 0
}

func (ns *namespaceImages) find(image string) []string {
	if ns.stale {
		ns.stale = false
		clear(ns.byImage)
		updaters := slices.Collect(maps.Values(ns.updaters))
		for _, app := range ns.applications {
			ns.index(app.Application, updaters)
		}
	}
	return ns.byImage[image]
}

// setApplication adds or replaces an Application. Argo CD writes to their status
// all the time, which makes no difference here.
func (ns *namespaceImages) setApplication(app *argov1alpha1.Application) {
	known, ok := ns.applications[app.Name]
	if ok && maps.Equal(known.Annotations, app.Annotations) && maps.Equal(known.Labels, app.Labels) {
		known.Application = app
		ns.applications[app.Name] = known
		return
	}
	ns.removeApplication(app.Name)
	ns.applications[app.Name] = indexedApplication{Application: app}
	if !ns.stale {
		ns.index(app, slices.Collect(maps.Values(ns.updaters)))
	}
}

func (ns *namespaceImages) removeApplication(name string) {
	for _, image := range ns.applications[name].images {
		names := ns.byImage[image]
		if i, found := slices.BinarySearch(names, name); found {
			ns.byImage[image] = slices.Delete(names, i, i+1)
		}
		if len(ns.byImage[image]) == 0 {
			delete(ns.byImage, image)
		}
	}
	delete(ns.applications, name)
}

// index lists an Application, which is in no list, under the images that it wants.
func (ns *namespaceImages) index(app *argov1alpha1.Application, updaters []*iuv1alpha1.ImageUpdater) {
	config, _ := imageupdate.ConfigFor(app, updaters)
	images := config.Repositories()
	for _, image := range images {
		names := ns.byImage[image]
		i, _ := slices.BinarySearch(names, app.Name)
		ns.byImage[image] = slices.Insert(names, i, app.Name)
	}
	ns.applications[app.Name] = indexedApplication{app, images}
}

// setUpdater adds or replaces an ImageUpdater object. It may select any
// Application, so byImage is made anew; but only when it is read, so that many
// objects that arrive at once, as at the start, cost no more than one.
func (ns *namespaceImages) setUpdater(updater *iuv1alpha1.ImageUpdater) {
	known, ok := ns.updaters[updater.Name]
	ns.updaters[updater.Name] = updater
	if !ok || !equality.Semantic.DeepEqual(known.Spec, updater.Spec) {
		ns.stale = true
	}
}

func (ns *namespaceImages) removeUpdater(name string) {
	delete(ns.updaters, name)
	ns.stale = true
}
