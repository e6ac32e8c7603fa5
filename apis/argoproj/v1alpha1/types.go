// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The annotations by which a refresh is requested of an Application. Argo CD
// removes both when the refresh is done.
//
// Source: https://github.com/argoproj/argo-cd,
// pkg/apis/application/v1alpha1/application_annotations.go.
const (
	// AnnotationRefresh is RefreshNormal or RefreshHard.
	AnnotationRefresh = "argocd.argoproj.io/refresh"
	// AnnotationRefreshTimestamp tells one request for a refresh from the next.
	// Argo CD keeps a request that arrives while it is busy with an earlier one
	// only if this value changed; releases that do not know it leave it alone.
	AnnotationRefreshTimestamp = "argocd.argoproj.io/refresh-timestamp"
)

// The values of AnnotationRefresh.
const (
	// RefreshNormal compares the cluster with what the sources hold now.
	RefreshNormal = "normal"
	// RefreshHard does the same with every cache dropped first.
	RefreshHard = "hard"
)

// Application is a part of Argo CD's object of that name: which sources are
// deployed, at which revisions. Never send it in an update.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type Application struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ApplicationSpec `json:"spec,omitempty"`
}

// ApplicationSpec is the part of the specification that Postern reads. Argo CD
// looks at the source hydrator first, then at Sources, then at Source.
type ApplicationSpec struct {
	// Source is where the manifests come from.
	Source *ApplicationSource `json:"source,omitempty"`
	// Sources are used in place of Source if there are any.
	Sources []ApplicationSource `json:"sources,omitempty"`
	// SourceHydrator is used in place of both if it is set.
	SourceHydrator *SourceHydrator `json:"sourceHydrator,omitempty"`
}

// ApplicationSource is one source of manifests.
type ApplicationSource struct {
	// RepoURL is the URL of a git repository, Helm repository or OCI registry.
	RepoURL string `json:"repoURL"`
	// TargetRevision is a git revision or, for a chart, its version. A pointer,
	// because a patch must test for what is there: absent is not the same as empty.
	TargetRevision *string `json:"targetRevision,omitempty"`
	// Path is a directory in a git repository.
	Path string `json:"path,omitempty"`
	// Chart is the name of a chart in a Helm repository.
	Chart string `json:"chart,omitempty"`
}

// SourceHydrator renders the manifests of one source and commits the result to
// another branch, from which they are deployed.
type SourceHydrator struct {
	// DrySource is what people commit to and what gets rendered.
	DrySource ApplicationSource `json:"drySource"`
}

// ApplicationList is a list of Application objects.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type ApplicationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Application `json:"items"`
}
