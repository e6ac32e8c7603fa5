// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"k8s.io/client-go/tools/cache"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
)

// handlerFor returns what feeds the index from an informer of a kind; nil if that
// kind makes no difference to it.
func (x *imageIndex) handlerFor(kind Kind) cache.ResourceEventHandler {
	switch kind {
	case KindApplication:
		return x.onApplications()
	case kindImageUpdater:
		return x.onUpdaters()
	}
	return nil
}

// onApplications feeds the index from an informer of Applications.
func (x *imageIndex) onApplications() cache.ResourceEventHandler {
	return handler(
		func(obj any) {
			if app, ok := obj.(*argov1alpha1.Application); ok {
				x.change(app.Namespace, func(ns *namespaceImages) { ns.setApplication(app) })
			}
		},
		func(name cache.ObjectName) {
			x.change(name.Namespace, func(ns *namespaceImages) { ns.removeApplication(name.Name) })
		})
}

// onUpdaters feeds the index from an informer of ImageUpdater objects.
func (x *imageIndex) onUpdaters() cache.ResourceEventHandler {
	return handler(
		func(obj any) {
			if updater, ok := obj.(*iuv1alpha1.ImageUpdater); ok {
				x.change(updater.Namespace, func(ns *namespaceImages) { ns.setUpdater(updater) })
			}
		},
		func(name cache.ObjectName) {
			x.change(name.Namespace, func(ns *namespaceImages) { ns.removeUpdater(name.Name) })
		})
}

// handler calls set for what is there and remove for what is gone.
func handler(set func(any), remove func(cache.ObjectName)) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    set,
		UpdateFunc: func(_, updated any) { set(updated) },
		DeleteFunc: func(obj any) {
			if name, err := cache.DeletionHandlingObjectToName(obj); err == nil {
				remove(name)
			}
		},
	}
}
