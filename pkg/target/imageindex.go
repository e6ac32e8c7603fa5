// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/tools/cache"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/pkg/imageupdate"
)

// imageIndex finds Applications by the images that they update. These depend on the ImageUpdater objects of the
// namespace too, so an informer's own index, which sees one object at a time, does not suffice. The zero value is ready
// to use. It is safe for concurrent use, and namespaces do not wait for each other.
type imageIndex struct {
	mu         sync.Mutex
	namespaces map[string]*namespaceIndex
}

// find returns the names of the Applications in a namespace that update an image, sorted. An invalid image name is an
// error.
func (x *imageIndex) find(namespace, image string) ([]string, error) {
	key, err := imageupdate.NormalizeName(image)
	if err != nil {
		return nil, err
	}
	ns := x.lockedNamespace(namespace)
	if ns == nil {
		return nil, nil
	}
	defer ns.mu.Unlock()
	return slices.Clone(ns.find(key)), nil
}

// updatersIn returns the ImageUpdater objects of a namespace that the watch has delivered, in no order. Neither the
// list nor the objects may be modified.
func (x *imageIndex) updatersIn(namespace string) []*imageupdate.Updater {
	ns := x.lockedNamespace(namespace)
	if ns == nil {
		return nil
	}
	defer ns.mu.Unlock()
	return ns.allUpdaters()
}

// lockedNamespace returns the index of a namespace, locked; nil if it does not exist.
func (x *imageIndex) lockedNamespace(namespace string) *namespaceIndex {
	x.mu.Lock()
	ns := x.namespaces[namespace]
	x.mu.Unlock()
	if ns != nil {
		ns.mu.Lock()
	}
	return ns
}

// update changes the index of a namespace.
func (x *imageIndex) update(namespace string, apply func(*namespaceIndex)) {
	for !x.tryUpdate(namespace, apply) {
	}
}

// tryUpdate changes the index of a namespace, and drops it if it is then empty. It returns false if the index was
// dropped concurrently.
func (x *imageIndex) tryUpdate(namespace string, apply func(*namespaceIndex)) bool {
	x.mu.Lock()
	ns, ok := x.namespaces[namespace]
	if !ok {
		ns = &namespaceIndex{
			updaters:     map[string]*imageupdate.Updater{},
			applications: map[string]indexedApplication{},
			byImage:      map[string][]string{},
		}
		if x.namespaces == nil {
			x.namespaces = map[string]*namespaceIndex{}
		}
		x.namespaces[namespace] = ns
	}
	x.mu.Unlock()

	ns.mu.Lock()
	applied := !ns.dropped
	if applied {
		apply(ns)
		ns.dropped = len(ns.applications)+len(ns.updaters) == 0
	}
	dropped := ns.dropped
	ns.mu.Unlock()

	if dropped {
		x.mu.Lock()
		defer x.mu.Unlock()
		if x.namespaces[namespace] == ns { // and not a new one
			delete(x.namespaces, namespace)
		}
	}
	return applied
}

// namespaceIndex is the index of one namespace.
type namespaceIndex struct {
	mu sync.Mutex
	// dropped is set once the index is empty. It is then removed and must not be used.
	dropped      bool
	updaters     map[string]*imageupdate.Updater
	applications map[string]indexedApplication
	// byImage has the names of Applications, sorted, by normalized image name.
	byImage map[string][]string
	// stale is set if byImage must be rebuilt before it is read.
	stale bool
	// updaterSlice is the last result of allUpdaters; nil after a change.
	updaterSlice []*imageupdate.Updater
}

// indexedApplication is an Application and its keys in byImage.
type indexedApplication struct {
	*argov1alpha1.Application
	images []string
}

func (ns *namespaceIndex) find(image string) []string {
	if ns.stale {
		ns.stale = false
		clear(ns.byImage)
		for _, app := range ns.applications {
			ns.index(app.Application)
		}
	}
	return ns.byImage[image]
}

// setApplication adds or replaces an Application. It does not index an Application again when only its status changes,
// as it often does.
func (ns *namespaceIndex) setApplication(app *argov1alpha1.Application) {
	known, ok := ns.applications[app.Name]
	if ok && maps.Equal(known.Annotations, app.Annotations) && maps.Equal(known.Labels, app.Labels) {
		known.Application = app
		ns.applications[app.Name] = known
		return
	}
	ns.removeApplication(app.Name)
	ns.applications[app.Name] = indexedApplication{Application: app}
	if !ns.stale {
		ns.index(app)
	}
}

func (ns *namespaceIndex) removeApplication(name string) {
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

// index adds an Application, which must not be indexed yet, to byImage.
func (ns *namespaceIndex) index(app *argov1alpha1.Application) {
	config, _ := imageupdate.ConfigFor(app, ns.allUpdaters())
	images := config.Repositories()
	for _, image := range images {
		names := ns.byImage[image]
		i, _ := slices.BinarySearch(names, app.Name)
		ns.byImage[image] = slices.Insert(names, i, app.Name)
	}
	ns.applications[app.Name] = indexedApplication{app, images}
}

// setUpdater adds or replaces an ImageUpdater object. The object may select any Application, so byImage is rebuilt, but
// only when it is read: many objects that arrive at once, as on startup, cost one rebuild.
func (ns *namespaceIndex) setUpdater(updater *iuv1alpha1.ImageUpdater) {
	if known, ok := ns.updaters[updater.Name]; ok && equality.Semantic.DeepEqual(known.Object().Spec, updater.Spec) {
		return // only the spec matters
	}
	ns.updaters[updater.Name] = imageupdate.NewUpdater(updater)
	ns.stale, ns.updaterSlice = true, nil
}

func (ns *namespaceIndex) removeUpdater(name string) {
	delete(ns.updaters, name)
	ns.stale, ns.updaterSlice = true, nil
}

func (ns *namespaceIndex) allUpdaters() []*imageupdate.Updater {
	if ns.updaterSlice == nil {
		ns.updaterSlice = slices.Collect(maps.Values(ns.updaters))
	}
	return ns.updaterSlice
}

func (x *imageIndex) applicationHandler() cache.ResourceEventHandler {
	return newHandler(x, (*namespaceIndex).setApplication, (*namespaceIndex).removeApplication)
}

func (x *imageIndex) updaterHandler() cache.ResourceEventHandler {
	return newHandler(x, (*namespaceIndex).setUpdater, (*namespaceIndex).removeUpdater)
}

// newHandler calls set for added and updated objects, and remove for deleted ones.
func newHandler[T object](
	x *imageIndex, set func(*namespaceIndex, T), remove func(*namespaceIndex, string),
) cache.ResourceEventHandler {
	update := func(item any) {
		if obj, ok := item.(T); ok {
			x.update(obj.GetNamespace(), func(ns *namespaceIndex) { set(ns, obj) })
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    update,
		UpdateFunc: func(_, updated any) { update(updated) },
		DeleteFunc: func(item any) {
			if name, err := cache.DeletionHandlingObjectToName(item); err == nil {
				x.update(name.Namespace, func(ns *namespaceIndex) { remove(ns, name.Name) })
			}
		},
	}
}
