// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// +k8s:deepcopy-gen=package
// +groupName=argoproj.io

// Package v1alpha1 has the few fields of Argo CD's argoproj.io/v1alpha1 that Postern reads. So Argo CD is not a
// dependency, and a cache of many objects stays small.
//
// These types are for reads and for patches only. Never send one in an update: it would erase every field that is not
// listed here.
package v1alpha1
