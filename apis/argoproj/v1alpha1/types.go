// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The annotations that ask Argo CD to look at an Application. Argo CD removes them when that is done.
//
// Source: https://github.com/argoproj/argo-cd, pkg/apis/application/v1alpha1/application_annotations.go.
const (
	// AnnotationRefresh is RefreshNormal or RefreshHard.
	AnnotationRefresh = "argocd.argoproj.io/refresh"
	// AnnotationRefreshTimestamp distinguishes requests for a refresh. If a request arrives while Argo CD is busy with
	// an earlier one, it is kept only if this value changed. Releases that do not support the annotation, up to 3.5,
	// ignore and leave it.
	AnnotationRefreshTimestamp = "argocd.argoproj.io/refresh-timestamp"
	// AnnotationHydrate asks the source hydrator to look at the dry source, which a refresh does not. Its values are
	// those of AnnotationRefresh.
	AnnotationHydrate = "argocd.argoproj.io/hydrate"
	// AnnotationHydrateTimestamp is to AnnotationHydrate what AnnotationRefreshTimestamp is to AnnotationRefresh.
	AnnotationHydrateTimestamp = "argocd.argoproj.io/hydrate-timestamp"
)

// AnnotationManifestGeneratePaths is set by the owner of an Application: the paths from which its manifests are made,
// separated by semicolons. A path with a leading slash begins at the root of the repository, any other at the path of
// the source. A push that changes no file in them needs no refresh.
//
// Source: util/app/path/path.go in the same repository.
const AnnotationManifestGeneratePaths = "argocd.argoproj.io/manifest-generate-paths"

// The values of AnnotationRefresh and AnnotationHydrate.
const (
	// RefreshNormal compares the cluster with the current content of the sources.
	RefreshNormal = "normal"
	// RefreshHard does the same after dropping every cache.
	RefreshHard = "hard"
)

// Application has the fields that Postern reads of Argo CD's object of that name: which sources are deployed, at which
// revisions, with which images. Never send it in an update.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type Application struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   ApplicationSpec   `json:"spec,omitempty"`
	Status ApplicationStatus `json:"status,omitempty"`
}

// ApplicationSpec is the part of the specification that Postern reads. In Argo CD SourceHydrator takes precedence over
// Sources, and Sources over Source.
type ApplicationSpec struct {
	// Source is the source of the manifests.
	Source *ApplicationSource `json:"source,omitempty"`
	// Sources replace Source if there are any.
	Sources []ApplicationSource `json:"sources,omitempty"`
	// SourceHydrator replaces both if it is set.
	SourceHydrator *SourceHydrator `json:"sourceHydrator,omitempty"`
}

// ApplicationSource is one source of manifests.
type ApplicationSource struct {
	// RepoURL is the URL of a git repository, Helm repository or OCI registry.
	RepoURL string `json:"repoURL"`
	// TargetRevision is a git revision or, for a chart, its version. It is a pointer because a patch must test the
	// exact value: absent and empty differ.
	TargetRevision *string `json:"targetRevision,omitempty"`
	// Path is a directory in a git repository.
	Path string `json:"path,omitempty"`
	// Chart is the name of a chart in a Helm repository.
	Chart string `json:"chart,omitempty"`
	// Kustomize, Helm and Plugin are the options of that tool. At most one is set, for the tool that renders the
	// source.
	Kustomize *ApplicationSourceKustomize `json:"kustomize,omitempty"`
	Helm      *ApplicationSourceHelm      `json:"helm,omitempty"`
	Plugin    *ApplicationSourcePlugin    `json:"plugin,omitempty"`
}

// ApplicationSourceKustomize are the options for Kustomize.
type ApplicationSourceKustomize struct {
	// Images are [name=]newName[:tag][@digest]. Without "name=", newName is also the name in the manifests.
	Images []string `json:"images,omitempty"`
}

// ApplicationSourceHelm are the options for Helm.
type ApplicationSourceHelm struct {
	// Parameters set single values of a chart, like helm's --set.
	Parameters []HelmParameter `json:"parameters,omitempty"`
}

// HelmParameter sets one value of a chart. Fields in which absent and empty differ are pointers, because a patch must
// test the exact value.
type HelmParameter struct {
	// Name is the path of the value, such as "image.tag".
	Name string `json:"name,omitempty"`
	// Value is the new value.
	Value *string `json:"value,omitempty"`
	// ForceString keeps Helm from reading 1.20 as a number.
	ForceString *bool `json:"forceString,omitempty"`
}

// ApplicationSourcePlugin are the options for a config management plugin.
type ApplicationSourcePlugin struct {
	// Env are environment variables.
	Env []EnvEntry `json:"env,omitempty"`
}

// EnvEntry is one environment variable.
type EnvEntry struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// SourceHydrator renders the manifests of one source and commits the result to another branch, which is deployed.
type SourceHydrator struct {
	// DrySource is the source that users commit to, before rendering.
	DrySource ApplicationSource `json:"drySource"`
}

// The values of ApplicationStatus.SourceType that Postern acts on.
const (
	SourceTypeHelm      = "Helm"
	SourceTypeKustomize = "Kustomize"
	SourceTypePlugin    = "Plugin"
)

// ApplicationStatus is the part of the status that Postern reads.
type ApplicationStatus struct {
	// SourceType is the tool that renders the source. It is empty until Argo CD has detected it.
	SourceType string `json:"sourceType,omitempty"`
	// SourceTypes are the tools that render the sources, in the order of the sources.
	SourceTypes []string `json:"sourceTypes,omitempty"`
	// Summary describes the deployed objects.
	Summary ApplicationSummary `json:"summary,omitempty"`
	// ReconciledAt is when the last comparison with the sources began, in whole seconds.
	ReconciledAt *metav1.Time `json:"reconciledAt,omitempty"`
	// Sync is the result of the comparison.
	Sync SyncStatus `json:"sync,omitempty"`
	// SourceHydrator is the state of the source hydrator.
	SourceHydrator SourceHydratorStatus `json:"sourceHydrator,omitempty"`
}

// SyncStatus has the commits with which the cluster was last compared.
type SyncStatus struct {
	// Revision is the commit of the only source.
	Revision string `json:"revision,omitempty"`
	// Revisions are the commits of several sources, in their order.
	Revisions []string `json:"revisions,omitempty"`
}

// SourceHydratorStatus has the commits of the dry source that were last looked at.
type SourceHydratorStatus struct {
	// LastComparedDryRevision is the commit that was last looked at.
	LastComparedDryRevision string `json:"lastComparedDryRevision,omitempty"`
	// CurrentOperation is the hydration that is in progress, or was last.
	CurrentOperation HydrateOperation `json:"currentOperation,omitempty"`
}

// HydrateOperation is one hydration.
type HydrateOperation struct {
	// DrySHA is the commit that is hydrated.
	DrySHA string `json:"drySHA,omitempty"`
}

// ApplicationSummary describes the deployed objects.
type ApplicationSummary struct {
	// Images are the image references in the live objects, without duplicates.
	Images []string `json:"images,omitempty"`
}

// ApplicationList is a list of Application objects.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type ApplicationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Application `json:"items"`
}
