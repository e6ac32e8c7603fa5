// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AnnotationApplicationSetRefresh asks Argo CD to run the generators of an ApplicationSet, and to look at git instead
// of its cache. Its value does not matter. Argo CD removes it when that is done.
//
// Source: common/common.go and ApplicationSet.RefreshRequired in https://github.com/argoproj/argo-cd.
const AnnotationApplicationSetRefresh = "argocd.argoproj.io/application-set-refresh"

// ApplicationSet has the fields that Postern reads of Argo CD's object of that name: what its generators look at. Never
// send it in an update.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type ApplicationSet struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ApplicationSetSpec `json:"spec,omitempty"`
}

// ApplicationSetSpec is the part of the specification that Postern reads.
type ApplicationSetSpec struct {
	Generators []ApplicationSetGenerator `json:"generators,omitempty"`
}

// ApplicationSetGenerator is a generator at the top. One of its fields is set.
type ApplicationSetGenerator struct {
	LeafGenerator `json:",inline"`
	Matrix        *CombinedGenerator `json:"matrix,omitempty"`
	Merge         *CombinedGenerator `json:"merge,omitempty"`
}

// CombinedGenerator combines the results of others.
type CombinedGenerator struct {
	Generators []NestedGenerator `json:"generators,omitempty"`
}

// NestedGenerator is a generator within a matrix or a merge. Argo CD nests no deeper than the two that it may be.
type NestedGenerator struct {
	LeafGenerator `json:",inline"`
	Matrix        *NestedCombinedGenerator `json:"matrix,omitempty"`
	Merge         *NestedCombinedGenerator `json:"merge,omitempty"`
}

// NestedCombinedGenerator combines the results of others within a matrix or a merge. The CRD has no schema for it.
type NestedCombinedGenerator struct {
	Generators []LeafGenerator `json:"generators,omitempty"`
}

// UnmarshalJSON implements json.Unmarshaler. What Argo CD can't read is empty: an error would keep all other objects of
// a list from being read, too.
func (g *NestedCombinedGenerator) UnmarshalJSON(data []byte) error {
	type plain NestedCombinedGenerator
	var read plain
	if json.Unmarshal(data, &read) != nil {
		read = plain{}
	}
	*g = NestedCombinedGenerator(read)
	return nil
}

// LeafGenerator is a generator that combines no others, as far as Postern knows it.
type LeafGenerator struct {
	Git         *GitGenerator         `json:"git,omitempty"`
	PullRequest *PullRequestGenerator `json:"pullRequest,omitempty"`
	Plugin      *PluginGenerator      `json:"plugin,omitempty"`
}

// GitGenerator looks at directories or files of a git repository.
type GitGenerator struct {
	RepoURL string `json:"repoURL"`
	// Revision is a git revision. It is a pointer because a patch must test the exact value: absent and empty differ.
	Revision *string `json:"revision,omitempty"`
}

// PluginGenerator calls a service. What that looks at is unknown.
type PluginGenerator struct {
	ConfigMapRef PluginConfigMapRef `json:"configMapRef,omitempty"`
}

// PluginConfigMapRef names the configuration of a plugin.
type PluginConfigMapRef struct {
	Name string `json:"name,omitempty"`
}

// PullRequestGenerator looks at the open pull requests of one repository. One of its fields is set.
type PullRequestGenerator struct {
	GitHub          *PullRequestRepository        `json:"github,omitempty"`
	GitLab          *PullRequestGitLab            `json:"gitlab,omitempty"`
	Gitea           *PullRequestRepository        `json:"gitea,omitempty"`
	Bitbucket       *PullRequestRepository        `json:"bitbucket,omitempty"`
	BitbucketServer *PullRequestProjectRepository `json:"bitbucketServer,omitempty"`
	AzureDevOps     *PullRequestAzureDevOps       `json:"azuredevops,omitempty"`
}

// PullRequestRepository names a repository by its owner. API is the URL of the API; empty or nil is the public one.
type PullRequestRepository struct {
	Owner string  `json:"owner,omitempty"`
	Repo  string  `json:"repo,omitempty"`
	API   *string `json:"api,omitempty"`
}

// PullRequestGitLab names a project by its number or its path.
type PullRequestGitLab struct {
	Project string  `json:"project,omitempty"`
	API     *string `json:"api,omitempty"`
}

// PullRequestProjectRepository names a repository by the key of its project.
type PullRequestProjectRepository struct {
	Project string  `json:"project,omitempty"`
	Repo    string  `json:"repo,omitempty"`
	API     *string `json:"api,omitempty"`
}

// PullRequestAzureDevOps names a repository by its organization and project.
type PullRequestAzureDevOps struct {
	Organization string  `json:"organization,omitempty"`
	Project      string  `json:"project,omitempty"`
	Repo         string  `json:"repo,omitempty"`
	API          *string `json:"api,omitempty"`
}

// ApplicationSetList is a list of ApplicationSet objects.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type ApplicationSetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []ApplicationSet `json:"items"`
}
