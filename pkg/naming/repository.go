// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package naming

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// OCIScheme begins the URL of a chart or other artifact in an OCI registry.
const OCIScheme = "oci://"

// NormalizeRepository returns one spelling for all URLs of the same git repository: host/path in lower case, with the
// port if it is for HTTP and not the scheme's default. It accepts URLs of any scheme and git's short form git@host:path
// (https://git-scm.com/docs/git-clone#_git_urls), and drops the scheme, user information, and a trailing slash or
// ".git". A host with another name or other paths for SSH is mapped to one name and path; see canonicalLocation.
//
// Argo CD ignores case too. Senders name a repository by its URL for HTTP, so the port of SSH, which self-hosted
// servers choose freely, is ignored.
//
// A repository of an OCI registry keeps its scheme: a server may have a git repository and a chart of one name.
//
// The result is a key for comparison, not an address. Normalizing it again does not change it. A value that is not a
// URL is returned nearly unchanged.
func NormalizeRepository(repository string) string {
	scheme, rest := cutScheme(strings.TrimSpace(repository))
	if scheme+"://" == OCIScheme {
		return normalizeOCI(strings.ToLower(rest))
	}
	authority, path, _ := strings.Cut(rest, "/")
	authority, hasUser := cutUser(authority, scheme)
	host, after := cutHost(authority)

	port := ""
	switch {
	case isPort(after) && (scheme != "" || !hasUser):
		port = after
	case after != "":
		path = after + "/" + path // git@host:path
	}
	host, path = canonicalLocation(strings.ToLower(strings.TrimSpace(host)), trimPath(strings.ToLower(path)))
	if port != "" && port != defaultPort(scheme) && !strings.Contains(scheme, "ssh") {
		host += ":" + port
	}
	if path == "" {
		return host
	}
	return host + "/" + path
}

func normalizeOCI(address string) string {
	isEnd := func(r rune) bool { return r == '/' || unicode.IsSpace(r) }
	host, path, _ := strings.Cut(strings.TrimFunc(address, isEnd), "/")
	host, path = CanonicalRepository(host[strings.LastIndexByte(host, '@')+1:], strings.Trim(path, "/"))
	return OCIScheme + strings.TrimSuffix(host+"/"+path, "/")
}

// SameRepository reports whether two URLs name the same git repository. An empty URL names none.
func SameRepository(a, b string) bool {
	a, b = NormalizeRepository(a), NormalizeRepository(b)
	return a != "" && a == b
}

// cutScheme cuts "scheme://" off.
func cutScheme(s string) (scheme, rest string) {
	scheme, rest, found := strings.Cut(s, "://")
	if !found || strings.ContainsAny(scheme, "/@:") {
		return "", s
	}
	return strings.ToLower(scheme), rest
}

// cutUser cuts user information off. In the short form it ends before the first colon; in a URL it may contain colons.
func cutUser(authority, scheme string) (rest string, found bool) {
	end := len(authority)
	if colon := strings.IndexByte(authority, ':'); scheme == "" && colon >= 0 {
		end = colon
	}
	at := strings.LastIndexByte(authority[:end], '@')
	return authority[at+1:], at >= 0
}

// cutHost splits a host from the text after its colon. Colons in the brackets of an IPv6 address are part of the host.
func cutHost(authority string) (host, after string) {
	if strings.HasPrefix(authority, "[") {
		if end := strings.Index(authority, "]:"); end >= 0 {
			return authority[:end+1], authority[end+2:]
		}
		if strings.HasSuffix(authority, "]") {
			return authority, ""
		}
	}
	host, after, _ = strings.Cut(authority, ":")
	return host, after
}

func isPort(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// defaultPort returns the default port of a scheme; empty if it has none.
func defaultPort(scheme string) string {
	switch scheme {
	case "https":
		return "443"
	case "http":
		return "80"
	case "git":
		return "9418"
	}
	return ""
}

// trimPath trims spaces, slashes and ".git", repeatedly.
func trimPath(path string) string {
	for {
		trimmed := strings.TrimSuffix(strings.Trim(strings.TrimSpace(path), "/"), ".git")
		if trimmed == path {
			return path
		}
		path = trimmed
	}
}

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
//	https://ORGANIZATION.visualstudio.com/[DefaultCollection/]PROJECT/[DefaultCollection/]_git/REPOSITORY
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
	case old:
		isCollection := func(segment string) bool { return segment == "defaultcollection" }
		last := len(segments) - 1 // a repository may have the name
		segments = slices.Concat([]string{organization},
			slices.DeleteFunc(slices.Clone(segments[:last]), isCollection), segments[last:])
	}
	if len(segments) == 3 && segments[1] == "_git" {
		segments = []string{segments[0], segments[2], "_git", segments[2]}
	}
	if len(segments) == 4 && segments[2] == "_git" {
		return azureHost, strings.Join(segments, "/")
	}
	return host, path
}

// maxRepositoryBytes is more than any host accepts, and small enough to store and display.
const maxRepositoryBytes = 2048

// CleanRepository returns the URL of a repository without credentials, because events are stored and displayed, and
// some URLs are https://user:token@host/repository or have a token in the query. A user name remains if it is part of
// the address and not a secret, as in ssh://git@host/repository. A text that is not a URL (git@host:repository) only
// loses its password.
func CleanRepository(repository string) (string, error) {
	unprintable := func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }
	if len(repository) > maxRepositoryBytes || strings.ContainsFunc(repository, unprintable) {
		return "", fmt.Errorf(
			"the URL of the repository must be at most %d bytes without spaces and control characters",
			maxRepositoryBytes)
	}
	if !strings.Contains(repository, "://") {
		return withoutPassword(repository), nil
	}
	u, err := url.Parse(repository)
	if err != nil || u.Opaque != "" {
		// The cause would repeat the URL and any password in it.
		return "", errors.New("the URL of the repository cannot be parsed")
	}
	if u.User == nil && u.RawQuery == "" && u.Fragment == "" {
		return repository, nil
	}
	u.RawQuery, u.Fragment = "", ""
	if u.User == nil {
		return u.String(), nil
	}
	if strings.Contains(u.Scheme, "ssh") {
		u.User = url.User(u.User.Username())
	} else {
		u.User = nil
	}
	return u.String(), nil
}

// withoutPassword removes the password from user:password@host:repository.
func withoutPassword(address string) string {
	user, rest, found := strings.Cut(address, "@")
	if !found {
		return address
	}
	name, _, _ := strings.Cut(user, ":")
	return name + "@" + rest
}
