// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"strings"
)

// NormalizeRepository returns one spelling for all the URLs by which people name
// the same git repository: host/path in lower case, with the port if it is one of
// HTTP and not the scheme's usual one. It takes URLs of any scheme and the short
// form git@host:path that git itself takes
// (https://git-scm.com/docs/git-clone#_git_urls), and drops the scheme, user
// information, and a trailing slash or ".git". A host that is named differently for
// SSH, or has other paths there, has one name and path; see canonicalLocation.
//
// Argo CD does not tell case either. Senders name a repository by its URL for
// HTTP, so the port of SSH, which self-hosted ones choose freely, says nothing.
//
// The result is a key for comparing, not an address. Normalising it again does
// not change it, and what is no URL at all comes back much as it was.
func NormalizeRepository(repository string) string {
	scheme, rest := cutScheme(strings.TrimSpace(repository))
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

// SameRepository reports whether two URLs name the same git repository. The
// empty URL names none.
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

// cutUser cuts user information off. In the short form it ends before the first
// colon; in a URL it may hold colons itself.
func cutUser(authority, scheme string) (rest string, found bool) {
	end := len(authority)
	if colon := strings.IndexByte(authority, ':'); scheme == "" && colon >= 0 {
		end = colon
	}
	at := strings.LastIndexByte(authority[:end], '@')
	return authority[at+1:], at >= 0
}

// cutHost cuts a host from what follows its colon. Colons in the brackets of an
// IPv6 address are part of it.
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

// defaultPort is the port that a URL of a scheme need not name.
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

// trimPath trims what makes no difference, as often as it occurs.
func trimPath(path string) string {
	for {
		trimmed := strings.TrimSuffix(strings.Trim(strings.TrimSpace(path), "/"), ".git")
		if trimmed == path {
			return path
		}
		path = trimmed
	}
}
