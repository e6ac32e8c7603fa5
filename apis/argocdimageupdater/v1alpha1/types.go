// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AnnotationPrefix is the prefix of the annotations that configure Image Updater on an Application.
//
// Source: https://github.com/argoproj-labs/argocd-image-updater, pkg/argocd/annotations.go, and
// docs/configuration/images.md of release 0.18.
const AnnotationPrefix = GroupName + "/"

// ImageUpdater has the fields that Postern reads of Image Updater's object of that name. It applies only to
// Applications in its own namespace.
//
// Source: https://github.com/argoproj-labs/argocd-image-updater, api/v1alpha1/imageupdater_types.go, release 1.3.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type ImageUpdater struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ImageUpdaterSpec `json:"spec,omitempty"`
}

// ImageUpdaterSpec selects Applications and configures how their images are updated.
type ImageUpdaterSpec struct {
	// CommonUpdateSettings are the defaults for every reference and image.
	CommonUpdateSettings *CommonUpdateSettings `json:"commonUpdateSettings,omitempty"`
	// WriteBackConfig is the default for every reference.
	WriteBackConfig *WriteBackConfig `json:"writeBackConfig,omitempty"`
	// ImagesVerification is the default for every reference and image.
	ImagesVerification *ImagesVerification `json:"imagesVerification,omitempty"`
	// ApplicationRefs select Applications. If several match, the most specific one is used.
	ApplicationRefs []ApplicationRef `json:"applicationRefs,omitempty"`
}

// ApplicationRef selects Applications.
type ApplicationRef struct {
	// NamePattern is a glob in the syntax of path.Match.
	NamePattern string `json:"namePattern"`
	// LabelSelectors must match the Application's labels; nil matches all.
	LabelSelectors *metav1.LabelSelector `json:"labelSelectors,omitempty"`
	// UseAnnotations reads all other settings from the Application's annotations.
	UseAnnotations *bool `json:"useAnnotations,omitempty"`

	CommonUpdateSettings *CommonUpdateSettings `json:"commonUpdateSettings,omitempty"`
	WriteBackConfig      *WriteBackConfig      `json:"writeBackConfig,omitempty"`
	ImagesVerification   *ImagesVerification   `json:"imagesVerification,omitempty"`
	// Images are the images to update.
	Images []ImageConfig `json:"images,omitempty"`
}

// ImageConfig configures how one image is updated.
type ImageConfig struct {
	// Alias names the image within its reference.
	Alias string `json:"alias"`
	// ImageName is name[:constraint]. The constraint is a semver constraint or, with the strategy "digest", a tag.
	ImageName string `json:"imageName"`

	CommonUpdateSettings *CommonUpdateSettings `json:"commonUpdateSettings,omitempty"`
	ManifestTargets      *ManifestTargets      `json:"manifestTargets,omitempty"`
	ImagesVerification   *ImagesVerification   `json:"imagesVerification,omitempty"`
}

// CommonUpdateSettings can be set for all references, for one reference, and for an image.
type CommonUpdateSettings struct {
	// UpdateStrategy is semver, newest-build, digest or alphabetical. Old names are latest (newest-build) and name
	// (alphabetical).
	UpdateStrategy *string `json:"updateStrategy,omitempty"`
	// ForceUpdate also updates images that the Application's status does not list.
	ForceUpdate *bool `json:"forceUpdate,omitempty"`
	// AllowTags is "any", or "regexp:" followed by a regular expression.
	AllowTags *string `json:"allowTags,omitempty"`
	// IgnoreTags are globs in the syntax of path.Match.
	IgnoreTags []string `json:"ignoreTags,omitempty"`
	// PullSecret refers to credentials for the registry.
	PullSecret *string `json:"pullSecret,omitempty"`
	// Platforms are os/architecture[/variant].
	Platforms []string `json:"platforms,omitempty"`
}

// WriteBackConfig configures how updates are written.
type WriteBackConfig struct {
	// Method is "argocd", "git", or "git:" followed by a reference to credentials.
	Method *string `json:"method,omitempty"`
}

// ManifestTargets is where in the Application an image is set. One of its fields is set.
type ManifestTargets struct {
	Helm      *HelmTarget      `json:"helm,omitempty"`
	Kustomize *KustomizeTarget `json:"kustomize,omitempty"`
	Plugin    *PluginTarget    `json:"plugin,omitempty"`
}

// HelmTarget names Helm parameters. Spec excludes Name and Tag.
type HelmTarget struct {
	Name *string `json:"name,omitempty"`
	Tag  *string `json:"tag,omitempty"`
	Spec *string `json:"spec,omitempty"`
}

// KustomizeTarget names an image as it is in the manifests.
type KustomizeTarget struct {
	Name *string `json:"name"`
}

// PluginTarget names environment variables of a plugin. Spec excludes Name and Tag.
type PluginTarget struct {
	Name *string `json:"name,omitempty"`
	Tag  *string `json:"tag,omitempty"`
	Spec *string `json:"spec,omitempty"`
}

// ImagesVerification requires signatures. Postern reads only whether it is enabled.
type ImagesVerification struct {
	// Enabled defaults to true if the block is present.
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
