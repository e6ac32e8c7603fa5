// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	stokerv1alpha1 "postern.dev/postern/apis/stoker/v1alpha1"
)

// trim removes the fields that Postern does not read from an object that will be cached. Most of its size is metadata:
// managed fields and other annotations, the last applied configuration in particular. It modifies obj.
func trim(obj any) (any, error) {
	switch obj := obj.(type) {
	case *stokerv1alpha1.GatewaySync:
		obj.ObjectMeta = trimMeta(obj.ObjectMeta)
	case *argov1alpha1.Application:
		labels := obj.Labels // ImageUpdater objects select by them
		obj.ObjectMeta = trimMeta(obj.ObjectMeta)
		obj.Labels = labels
	case *iuv1alpha1.ImageUpdater:
		obj.ObjectMeta = trimMeta(obj.ObjectMeta)
	}
	return obj, nil
}

func trimMeta(meta metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace:       meta.Namespace,
		Name:            meta.Name,
		ResourceVersion: meta.ResourceVersion,
		Annotations:     trimAnnotations(meta.Annotations),
	}
}

// trimAnnotations keeps the annotations that decisions depend on. The map stays even if it is empty, since a decision
// depends on whether there is one.
func trimAnnotations(annotations map[string]string) map[string]string {
	if annotations == nil {
		return nil
	}
	kept := map[string]string{}
	for key, value := range annotations {
		if isKeptAnnotation(key) {
			kept[key] = value
		}
	}
	return kept
}

// isKeptAnnotation reports whether a decision may depend on an annotation.
func isKeptAnnotation(key string) bool {
	for _, prefix := range []string{
		"postern.dev/", "stoker.io/", argov1alpha1.AnnotationRefresh, iuv1alpha1.AnnotationPrefix,
	} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}
