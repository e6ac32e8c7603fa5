// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AnnotationPrefix begins every annotation by which Image Updater is configured
// on an Application itself.
//
// Source: https://github.com/argoproj-labs/argocd-image-updater,
// pkg/argocd/annotations.go, and docs/configuration/images.md of release 0.18.
const AnnotationPrefix = GroupName + "/"

// ImageUpdater is a part of Image Updater's object of that name. It speaks of
// Applications in its own namespace only.
//
// Source: https://github.com/argoproj-labs/argocd-image-updater,
// api/v1alpha1/imageupdater_types.go, release 1.3.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type ImageUpdater struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ImageUpdaterSpec `json:"spec,omitempty"`
}

// ImageUpdaterSpec selects Applications and says how their images are updated.
type ImageUpdaterSpec struct {
	// CommonUpdateSettings are the defaults for every reference and image.
	CommonUpdateSettings *CommonUpdateSettings `json:"commonUpdateSettings,omitempty"`
	// WriteBackConfig is the default for every reference.
	WriteBackConfig *WriteBackConfig `json:"writeBackConfig,omitempty"`
	// ImagesVerification is the default for every reference and image.
	ImagesVerification *ImagesVerification `json:"imagesVerification,omitempty"`
	// ApplicationRefs select Applications; the most specific one counts.
	ApplicationRefs []ApplicationRef `json:"applicationRefs,omitempty"`
}

// ApplicationRef selects Applications.
type ApplicationRef struct {
	// NamePattern is a glob, as path.Match takes it.
	NamePattern string `json:"namePattern"`
	// LabelSelectors must match the Application's labels too; nil matches all.
	LabelSelectors *metav1.LabelSelector `json:"labelSelectors,omitempty"`
	// UseAnnotations takes everything else from the Application's annotations.
	UseAnnotations *bool `json:"useAnnotations,omitempty"`

	CommonUpdateSettings *CommonUpdateSettings `json:"commonUpdateSettings,omitempty"`
	WriteBackConfig      *WriteBackConfig      `json:"writeBackConfig,omitempty"`
	ImagesVerification   *ImagesVerification   `json:"imagesVerification,omitempty"`
	// Images are the images that are updated.
	Images []ImageConfig `json:"images,omitempty"`
}

// ImageConfig says how one image is updated.
type ImageConfig struct {
	// Alias names the image within its reference.
	Alias string `json:"alias"`
	// ImageName is name[:constraint]. What follows the colon is a semver
	// constraint, or the tag that the strategy "digest" follows.
	ImageName string `json:"imageName"`

	CommonUpdateSettings *CommonUpdateSettings `json:"commonUpdateSettings,omitempty"`
	ManifestTargets      *ManifestTargets      `json:"manifestTargets,omitempty"`
	ImagesVerification   *ImagesVerification   `json:"imagesVerification,omitempty"`
}

// CommonUpdateSettings can be set for all, for a reference, and for an image.
type CommonUpdateSettings struct {
	// UpdateStrategy is one of semver, newest-build, digest and alphabetical, or
	// by their old names latest and name.
	UpdateStrategy *string `json:"updateStrategy,omitempty"`
	// ForceUpdate updates images that the Application does not report to run.
	ForceUpdate *bool `json:"forceUpdate,omitempty"`
	// AllowTags is "any" or "regexp:" and a regular expression.
	AllowTags *string `json:"allowTags,omitempty"`
	// IgnoreTags are globs, as path.Match takes them.
	IgnoreTags []string `json:"ignoreTags,omitempty"`
	// PullSecret refers to credentials for the registry.
	PullSecret *string `json:"pullSecret,omitempty"`
	// Platforms are os/architecture[/variant].
	Platforms []string `json:"platforms,omitempty"`
}

// WriteBackConfig says how updates are written.
type WriteBackConfig struct {
	// Method is argocd, git, or git: and a reference to credentials.
	Method *string `json:"method,omitempty"`
}

// ManifestTargets says where in the Application an image is set. One of them.
type ManifestTargets struct {
	Helm      *HelmTarget      `json:"helm,omitempty"`
	Kustomize *KustomizeTarget `json:"kustomize,omitempty"`
	Plugin    *PluginTarget    `json:"plugin,omitempty"`
}

// HelmTarget names Helm parameters. Spec excludes the others.
type HelmTarget struct {
	Name *string `json:"name,omitempty"`
	Tag  *string `json:"tag,omitempty"`
	Spec *string `json:"spec,omitempty"`
}

// KustomizeTarget names an image as the manifests do.
type KustomizeTarget struct {
	Name *string `json:"name"`
}

// PluginTarget names environment variables of a plugin. Spec excludes the others.
type PluginTarget struct {
	Name *string `json:"name,omitempty"`
	Tag  *string `json:"tag,omitempty"`
	Spec *string `json:"spec,omitempty"`
}

// ImagesVerification demands signatures. Postern reads only whether it does.
type ImagesVerification struct {
	// Enabled is true if it is not set, in a block that is there.
	Enabled *bool `json:"enabled,omitempty"`
}

// ImageUpdaterList is a list of ImageUpdater objects.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type ImageUpdaterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []ImageUpdater `json:"items"`
}
