// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"net/url"
	"strings"

	"postern.dev/postern/apis/postern"
)

// packageURL contains the parts of a package URL that name an image:
//
//	pkg:oci/NAME@DIGEST?repository_url=HOST/PATH/NAME&tag=TAG
//	pkg:docker/NAMESPACE/NAME@TAG?repository_url=HOST
//
// https://github.com/package-url/purl-spec/blob/main/docs/how-to-parse.md, and the types in types-doc.
//
// No library is used: its qualifiers and segments take many times the memory of their text.
type packageURL struct {
	kind, path, version string // path is the namespace and the name
	repositoryURL, tag  string
}

// The types of package URLs that name images.
const (
	packageOCI    = "oci"
	packageDocker = "docker"
)

// maxPackageURLBytes is more than the longest image takes with every byte percent-encoded.
const maxPackageURLBytes = 4 << 10

// packageType returns the type of a package URL in lower case, and what follows; "" if it is none.
func packageType(purl string) (kind, rest string) {
	scheme, rest, _ := strings.Cut(purl[:min(len(purl), maxPackageURLBytes)], ":")
	if !strings.EqualFold(scheme, "pkg") {
		return "", ""
	}
	kind, rest, _ = strings.Cut(strings.TrimLeft(rest, "/"), "/")
	return strings.ToLower(kind), rest
}

// parsePackageURL parses a package URL. ok is false if it is not valid, or has one of our qualifiers twice.
func parsePackageURL(purl string) (p packageURL, ok bool) {
	ok = true
	unescape := func(text string) string {
		unescaped, err := url.PathUnescape(text)
		ok = ok && err == nil
		return unescaped
	}
	kind, rest := packageType(purl)
	rest, _, _ = strings.Cut(rest, "#") // the path of a file in the package
	rest, qualifiers, _ := strings.Cut(rest, "?")
	path, version := rest, ""
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		path, version = rest[:at], rest[at+1:]
	}
	p = packageURL{kind: kind, path: unescape(strings.Trim(path, "/")), version: unescape(version)}
	for qualifier := range strings.SplitSeq(qualifiers, "&") {
		key, value, _ := strings.Cut(qualifier, "=")
		var field *string
		switch {
		case strings.EqualFold(key, "repository_url"):
			field = &p.repositoryURL
		case strings.EqualFold(key, "tag"):
			field = &p.tag
		default:
			continue
		}
		ok = ok && *field == ""
		*field = unescape(value)
	}
	return p, ok && p.path != "" && len(purl) <= maxPackageURLBytes
}

// isImagePackage reports whether a package URL is of a type of images.
func isImagePackage(purl string) bool {
	kind, _ := packageType(purl)
	return kind == packageOCI || kind == packageDocker
}

// parseImagePackage returns the image of a package URL of a type of images. The host is empty if the URL of a package
// of the type oci does not name the registry.
func parseImagePackage(purl string) (postern.ImageReference, error) {
	p, ok := parsePackageURL(purl)
	if !ok {
		return postern.ImageReference{}, refuse(ErrorInvalidImage, "the package URL %s is not valid", quote(purl))
	}
	host, repository := splitAddress(p.repositoryURL)
	if p.kind == packageDocker {
		return postern.ImageReference{
			Host: dockerHost(host), Repository: fullName("", repository, p.path), Tag: p.version,
		}, nil
	}
	image := postern.ImageReference{Host: host, Repository: repository, Tag: p.tag, Digest: p.version}
	switch {
	case host == "":
		image.Repository = p.path
	case !strings.EqualFold(repository[strings.LastIndexByte(repository, '/')+1:], p.path):
		// Otherwise either could be meant.
		return postern.ImageReference{}, refuse(ErrorInvalidImage,
			"the package URL %s is not valid: its repository_url must end with the name %s", quote(purl), quote(p.path))
	}
	return image, nil
}

// dockerHost returns the host of a package of the type docker, of which Docker Hub is the default registry.
func dockerHost(host string) string {
	if host == "" || host == "hub.docker.com" {
		return "docker.io"
	}
	return host
}
