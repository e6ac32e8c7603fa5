// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import "strings"

// markDefaultBranch marks the events of the branch that the payload says is the repository's default one. The git hosts
// that tell it do so in one of these places, and only ever mean the repository that was pushed to.
func (m message) markDefaultBranch(events []Event) {
	branch := m.defaultBranch()
	for i := range events {
		e := &events[i]
		e.DefaultBranch = branch != "" && e.RefType == RefTypeBranch && e.Ref == branch
	}
}

func (m message) defaultBranch() string {
	for _, path := range [][]string{
		{"repository", "default_branch"},            // GitHub, Gitea, Forgejo, Gogs
		{"project", "default_branch"},               // GitLab
		{"resource", "repository", "defaultBranch"}, // Azure DevOps, in full
	} {
		if branch := m.text(path...); branch != "" {
			return strings.TrimPrefix(branch, "refs/heads/")
		}
	}
	return ""
}
