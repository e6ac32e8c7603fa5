// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// +k8s:deepcopy-gen=package
// +groupName=argocd-image-updater.argoproj.io

// Package v1alpha1 has the few fields of Argo CD Image Updater's argocd-image-updater.argoproj.io/v1alpha1 that Postern
// reads: which images of which Applications follow the registry, and under which rules.
//
// These types are only read. Never send one in an update: it would erase every field that is not listed here.
package v1alpha1
