// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import "slices"

// What senders ask for.
const (
	RequestsGitRefs = "GitRefs"
	RequestsImages  = "Images"
)

// Requests returns what a type of sender asks for.
func Requests(source string) string {
	git := []string{"github", "gitlab", "gitea", "bitbucket", "bitbucket-server", "azure-devops", "argocd", "kargo", SourceGeneric}
	if slices.Contains(git, source) {
		return RequestsGitRefs
	}
	return RequestsImages
}
