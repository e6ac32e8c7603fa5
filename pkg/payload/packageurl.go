// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"strings"

	"github.com/package-url/packageurl-go"

	"postern.dev/postern/apis/postern"
)

// maxPackageURLBytes is more than the longest image takes with every byte percent-encoded.
const maxPackageURLBytes = 4 << 10

// isImagePackage reports whether a package URL is of a type of images.
func isImagePackage(purl string) bool {
	scheme, rest, _ := strings.Cut(purl, ":")
	kind, _, _ := strings.Cut(strings.TrimLeft(rest, "/"), "/")
	return strings.EqualFold(scheme, "pkg") &&
		(strings.EqualFold(kind, packageurl.TypeOCI) || strings.EqualFold(kind, packageurl.TypeDocker))
}

// parseImagePackage returns the image of a package URL of the types oci and docker. The host is empty if the URL of a
// package of the type oci does not name the registry.
//
//	pkg:oci/NAME@DIGEST?repository_url=HOST/PATH/NAME&tag=TAG
//	pkg:docker/NAMESPACE/NAME@TAG?repository_url=HOST
//
// https://github.com/package-url/purl-spec/tree/main/types-doc
func parseImagePackage(purl string) (postern.ImageReference, error) {
	if len(purl) > maxPackageURLBytes {
		return postern.ImageReference{}, refuse(ErrorInvalidImage, "the package URL must be at most %d bytes",
			maxPackageURLBytes)
	}
	p, err := packageurl.FromString(purl)
	if err != nil {
		return postern.ImageReference{}, refuse(ErrorInvalidImage, "the package URL %s is not valid", quote(purl))
	}
	qualifiers := map[string]string{}
	for _, q := range p.Qualifiers {
		if _, twice := qualifiers[q.Key]; twice {
			return postern.ImageReference{}, refuse(ErrorInvalidImage, "the package URL %s has %s twice", quote(purl),
				quote(q.Key))
		}
		qualifiers[q.Key] = q.Value
	}
	host, repository := splitAddress(qualifiers["repository_url"])
	image := postern.ImageReference{Host: host, Repository: repository, Tag: qualifiers["tag"]}
	if p.Type == packageurl.TypeDocker {
		image.Host, image.Tag = dockerHost(host), p.Version
		image.Repository = fullName("", repository, fullName("", p.Namespace, p.Name))
		return image, nil
	}
	image.Digest = p.Version
	switch {
	case host == "":
		image.Repository = fullName("", p.Namespace, p.Name)
	case !strings.EqualFold(repository[strings.LastIndexByte(repository, '/')+1:], p.Name):
		// Otherwise either could be meant.
		return postern.ImageReference{}, refuse(ErrorInvalidImage,
			"the package URL %s is not valid: its repository_url must end with the name %s", quote(purl), quote(p.Name))
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
