// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The annotations that request a ref of a GatewaySync. Stoker lets the requested ref override spec.git.ref, and removes
// AnnotationRequestedRef once spec.git.ref has caught up with it.
//
// Source: https://github.com/knorrlabs/stoker-operator, docs/docs/reference/annotations.md.
const (
	// AnnotationRequestedRef is the short name of a tag or branch, or a commit id.
	AnnotationRequestedRef = "stoker.io/requested-ref"
	// AnnotationRequestedAt is the time of the request, RFC 3339 in UTC.
	AnnotationRequestedAt = "stoker.io/requested-at"
	// AnnotationRequestedBy is the type of the sender, such as "github".
	AnnotationRequestedBy = "stoker.io/requested-by"
)

// GatewaySync has the fields that Postern reads of Stoker's object of that name: which git repository, at which ref, is
// synchronized to a set of gateways. Never send it in an update.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type GatewaySync struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec GatewaySyncSpec `json:"spec,omitempty"`
}

// GatewaySyncSpec is the part of the specification that Postern reads.
type GatewaySyncSpec struct {
	Git GitSpec `json:"git,omitempty"`
}

// GitSpec is the repository and ref that are synchronized.
type GitSpec struct {
	// Repo is the URL of the repository, over HTTPS or SSH.
	Repo string `json:"repo,omitempty"`
	// Ref is the tag, branch or commit that is used unless another one is requested.
	Ref string `json:"ref,omitempty"`
}

// GatewaySyncList is a list of GatewaySync objects.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type GatewaySyncList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []GatewaySync `json:"items"`
}
