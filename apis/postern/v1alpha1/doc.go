// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// +k8s:openapi-gen=true
// +k8s:openapi-model-package=dev.postern.v1alpha1
// +k8s:deepcopy-gen=package
// +k8s:conversion-gen=postern.dev/postern/apis/postern
// +k8s:defaulter-gen=TypeMeta
// +groupName=postern.dev

// Package v1alpha1 is the first external version of the postern.dev API. It does not depend on how deliveries are
// executed, stored or served.
package v1alpha1
