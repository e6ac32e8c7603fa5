// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"slices"
	"strings"
)

// canonicalLocation undoes what git hosts do differently for SSH, or did before: it returns
// the host and the path by which they name a repository in URLs for HTTP.
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

// trimSSHPrefix drops what the names of hosts for SSH begin with, for those who can
// use port 443 only: ssh.github.com, altssh.bitbucket.org, altssh.gitlab.com.
func trimSSHPrefix(host string) string {
	for _, prefix := range []string{"ssh.", "altssh."} {
		if domain, found := strings.CutPrefix(host, prefix); found && strings.Contains(domain, ".") {
			return trimSSHPrefix(domain)
		}
	}
	return host
}

// The hosts of Azure DevOps. An organisation had a host of its own before.
const (
	azureHost          = "dev.azure.com"
	azureLegacyHost    = ".visualstudio.com"
	azureLegacySSHHost = "vs-ssh" + azureLegacyHost
)

// canonicalAzureDevOps returns dev.azure.com and ORGANISATION/PROJECT/_git/REPOSITORY for
//
//	https://dev.azure.com/ORGANISATION/PROJECT/_git/REPOSITORY
//	https://dev.azure.com/ORGANISATION/_git/REPOSITORY, of the project of that name
//	https://ORGANISATION.visualstudio.com/[DefaultCollection/]PROJECT/_git/REPOSITORY
//	git@ssh.dev.azure.com:v3/ORGANISATION/PROJECT/REPOSITORY
//	ORGANISATION@vs-ssh.visualstudio.com:v3/ORGANISATION/PROJECT/REPOSITORY
//
// and what it was given for anything else. Source:
// https://learn.microsoft.com/azure/devops/repos/git/share-your-code-in-git-vs
func canonicalAzureDevOps(host, path string, segments []string) (string, string) {
	switch organisation, old := strings.CutSuffix(host, azureLegacyHost); {
	case host == azureHost, host == azureLegacySSHHost:
		if len(segments) == 4 && segments[0] == "v3" && segments[2] != "_git" {
			segments = []string{segments[1], segments[2], "_git", segments[3]}
		}
	case old && segments[0] == "defaultcollection":
		segments = slices.Concat([]string{organisation}, segments[1:])
	case old:
		segments = slices.Concat([]string{organisation}, segments)
	}
	if len(segments) == 3 && segments[1] == "_git" {
		segments = []string{segments[0], segments[2], "_git", segments[2]}
	}
	if len(segments) == 4 && segments[2] == "_git" {
		return azureHost, strings.Join(segments, "/")
	}
	return host, path
}
