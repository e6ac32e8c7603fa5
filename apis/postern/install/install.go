// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package install registers every version of the postern.dev API in a scheme.
package install

import (
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/v1alpha1"
)

// Install registers the API in scheme. It panics on a programming error, such as a type that is registered twice.
func Install(scheme *runtime.Scheme) {
	utilruntime.Must(postern.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	utilruntime.Must(scheme.SetVersionPriority(v1alpha1.SchemeGroupVersion))
}
