// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"slices"
	"strings"
)

// canonicalLocation returns the host and the path of a repository in current URLs for HTTP. Git hosts use, or used,
// others for SSH.
func canonicalLocation(host, path string) (string, string) {
	host = trimSSHPrefix(host)
	segments := strings.Split(path, "/")
	if slices.ContainsFunc(segments, func(s string) bool { return s == "" || s != strings.TrimSpace(s) }) {
		return host, path
	}
	if host == azureHost || strings.HasSuffix(host, azureLegacyHost) {
		return canonicalAzureDevOps(host, path, segments)
	}
	// Bitbucket Data Center: https://HOST/scm/PROJECT/REPOSITORY, ssh://git@HOST:7999/PROJECT/REPOSITORY.
	if len(segments) == 3 && segments[0] == "scm" {
		return host, strings.Join(segments[1:], "/")
	}
	return host, path
}

// trimSSHPrefix drops the prefix of SSH hosts for clients that can only use port 443: ssh.github.com,
// altssh.bitbucket.org, altssh.gitlab.com.
func trimSSHPrefix(host string) string {
	for _, prefix := range []string{"ssh.", "altssh."} {
		if domain, found := strings.CutPrefix(host, prefix); found && strings.Contains(domain, ".") {
			return trimSSHPrefix(domain)
		}
	}
	return host
}

// The hosts of Azure DevOps. Each organization used to have its own host.
const (
	azureHost          = "dev.azure.com"
	azureLegacyHost    = ".visualstudio.com"
	azureLegacySSHHost = "vs-ssh" + azureLegacyHost
)

// canonicalAzureDevOps returns dev.azure.com and ORGANIZATION/PROJECT/_git/REPOSITORY for
//
//	https://dev.azure.com/ORGANIZATION/PROJECT/_git/REPOSITORY
//	https://dev.azure.com/ORGANIZATION/_git/REPOSITORY, of the project of that name
//	https://ORGANIZATION.visualstudio.com/[DefaultCollection/]PROJECT/_git/REPOSITORY
//	git@ssh.dev.azure.com:v3/ORGANIZATION/PROJECT/REPOSITORY
//	ORGANIZATION@vs-ssh.visualstudio.com:v3/ORGANIZATION/PROJECT/REPOSITORY
//
// and its arguments for anything else. Source:
// https://learn.microsoft.com/azure/devops/repos/git/share-your-code-in-git-vs
func canonicalAzureDevOps(host, path string, segments []string) (string, string) {
	switch organization, old := strings.CutSuffix(host, azureLegacyHost); {
	case host == azureHost, host == azureLegacySSHHost:
		if len(segments) == 4 && segments[0] == "v3" && segments[2] != "_git" {
			segments = []string{segments[1], segments[2], "_git", segments[3]}
		}
	case old && segments[0] == "defaultcollection":
		segments = slices.Concat([]string{organization}, segments[1:])
	case old:
		segments = slices.Concat([]string{organization}, segments)
	}
	if len(segments) == 3 && segments[1] == "_git" {
		segments = []string{segments[0], segments[2], "_git", segments[2]}
	}
	if len(segments) == 4 && segments[2] == "_git" {
		return azureHost, strings.Join(segments, "/")
	}
	return host, path
}
