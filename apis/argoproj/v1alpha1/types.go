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
// deployed, at which revisions, with which images. Never send it in an update.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type Application struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   ApplicationSpec   `json:"spec,omitempty"`
	Status ApplicationStatus `json:"status,omitempty"`
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
	// Kustomize, Helm and Plugin hold what is passed to that tool. Only the one
	// that renders the source, if any, is set.
	Kustomize *ApplicationSourceKustomize `json:"kustomize,omitempty"`
	Helm      *ApplicationSourceHelm      `json:"helm,omitempty"`
	Plugin    *ApplicationSourcePlugin    `json:"plugin,omitempty"`
}

// ApplicationSourceKustomize is what is passed to Kustomize.
type ApplicationSourceKustomize struct {
	// Images are [name=]newName[:tag][@digest]. Without "name=", what comes before
	// the tag is both: the name in the manifests, and what is put there.
	Images []string `json:"images,omitempty"`
}

// ApplicationSourceHelm is what is passed to Helm.
type ApplicationSourceHelm struct {
	// Parameters set single values of a chart, like helm's --set.
	Parameters []HelmParameter `json:"parameters,omitempty"`
}

// HelmParameter sets one value of a chart. Its fields are pointers where absent
// and empty are told apart, since a patch must test for just what is there.
type HelmParameter struct {
	// Name is the path of the value, such as "image.tag".
	Name string `json:"name,omitempty"`
	// Value is what is set.
	Value *string `json:"value,omitempty"`
	// ForceString keeps Helm from reading 1.20 as a number.
	ForceString *bool `json:"forceString,omitempty"`
}

// ApplicationSourcePlugin is what is passed to a config management plugin.
type ApplicationSourcePlugin struct {
	// Env are environment variables.
	Env []EnvEntry `json:"env,omitempty"`
}

// EnvEntry is one environment variable.
type EnvEntry struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// SourceHydrator renders the manifests of one source and commits the result to
// another branch, from which they are deployed.
type SourceHydrator struct {
	// DrySource is what people commit to and what gets rendered.
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
	// SourceType is the tool that renders the source; empty until Argo CD looked.
	SourceType string `json:"sourceType,omitempty"`
	// SourceTypes are the tools that render the sources, in their order.
	SourceTypes []string `json:"sourceTypes,omitempty"`
	// Summary sums up what is deployed.
	Summary ApplicationSummary `json:"summary,omitempty"`
}

// ApplicationSummary sums up what is deployed.
type ApplicationSummary struct {
	// Images are the references in the live objects, each one once.
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
