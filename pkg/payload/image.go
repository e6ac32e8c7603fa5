// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"strings"

	"github.com/distribution/reference"
)

// Image is a fully qualified image: nginx is library/nginx at docker.io.
type Image struct {
	// Host is the host name of the registry in lower case, with an optional port: "ghcr.io",
	// "registry.example.com:5000".
	Host string
	// Repository is the path in the registry: "library/nginx".
	Repository string
	// Tag is the tag without the colon, or empty.
	Tag string
	// Digest is the manifest digest with its algorithm, "sha256:…", or empty.
	Digest string
}

const (
	// maxHostBytes is the length of the longest DNS name with a port.
	maxHostBytes = 253 + len(":65535")
	// maxReferenceBytes is the total length of the longest host, repository, tag and digest (SHA-512).
	maxReferenceBytes = maxHostBytes + len("/") + reference.RepositoryNameTotalLengthMax +
		len(":") + 128 + len("@") + len("sha512:") + 128
)

// String returns the image reference: "docker.io/library/nginx:1.27@sha256:…".
func (i Image) String() string {
	s := i.Host + "/" + i.Repository
	if i.Tag != "" {
		s += ":" + i.Tag
	}
	if i.Digest != "" {
		s += "@" + i.Digest
	}
	return s
}

// ParseImage parses a reference like container runtimes: without a host, it refers to Docker Hub. Tag and digest are
// optional and get no default. The error is an *Error.
//
// The grammar is defined by https://pkg.go.dev/github.com/distribution/reference.
func ParseImage(ref string) (Image, error) {
	if len(ref) > maxReferenceBytes {
		return Image{}, refuse(ErrorInvalidImage, "the reference of an image must be at most %d bytes",
			maxReferenceBytes)
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return Image{}, refuse(ErrorInvalidImage,
			"the reference of an image %s is not valid: expected host/repository:tag",
			quote(ref))
	}
	i := Image{Host: strings.ToLower(reference.Domain(named)), Repository: reference.Path(named)}
	if tagged, ok := named.(reference.Tagged); ok {
		i.Tag = tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		i.Digest = digested.Digest().String()
	}
	return i, nil
}

// NormalizeImage validates an image whose parts come from different fields, and returns it fully qualified. The joined
// reference must parse into the same parts: no part may extend into the next, and runtimes must not read the host as
// the beginning of a repository at Docker Hub. Tag and digest may be empty. The error is an *Error.
func NormalizeImage(i Image) (Image, error) {
	host, err := normalizeHost(i.Host)
	if err != nil {
		return Image{}, err
	}
	i.Host = strings.ToLower(i.Host)
	whole, isReference := i.parsed()
	switch {
	case isReference && whole.Host == host && whole.Tag == i.Tag && whole.Digest == i.Digest &&
		(whole.Repository == i.Repository || whole.Repository == "library/"+i.Repository):
		return whole, nil
	case !isRepository(host, i.Repository):
		return Image{}, refuse(ErrorInvalidImage,
			"the repository %s is not valid: it must be a path in lower case, of at most 255 bytes",
			quote(i.Repository))
	case i.Digest != "" && !isDigest(i.Digest):
		return Image{}, refuse(ErrorInvalidImage,
			"the digest %s is not valid: expected sha256: and 64 hexadecimal digits",
			quote(i.Digest))
	}
	return Image{}, refuse(ErrorInvalidImage,
		"the tag %s is not valid: it must be at most 128 of the characters A-Z a-z 0-9 _ . -, "+
			"and must not begin with . or -",
		quote(i.Tag))
}

// parsed joins the parts of the image and parses the result. ok is false if it is not a reference. It rejects long
// parts before joining them, because the body may be large.
func (i Image) parsed() (whole Image, ok bool) {
	if len(i.Host)+len(i.Repository)+len(i.Tag)+len(i.Digest) > maxReferenceBytes {
		return Image{}, false
	}
	whole, err := ParseImage(i.String())
	return whole, err == nil
}

// normalizeHost returns the host in the spelling of references. An error does not repeat a host that may contain a
// password.
func normalizeHost(host string) (string, error) {
	if host == "" {
		return "", refuse(ErrorInvalidImage, "the host of the registry is missing")
	}
	if strings.Contains(host, "@") {
		return "", refuse(ErrorInvalidImage, "the host of the registry must be given without a user name and password")
	}
	lower := strings.ToLower(host[:min(len(host), maxHostBytes+1)])
	// Two components, because Docker Hub maps a single one to library/a.
	i, ok := Image{Host: lower, Repository: "a/a"}.parsed()
	switch {
	case !ok || len(host) > maxHostBytes || i.Repository != "a/a" || (i.Host != lower && lower != "index.docker.io"):
		return "", refuse(ErrorInvalidImage,
			"the host of the registry %s is not valid: it must be a host name with a dot or a port, or localhost",
			quote(host))
	}
	return i.Host, nil
}

func isRepository(host, repository string) bool {
	i, ok := Image{Host: host, Repository: repository}.parsed()
	return ok && i.Tag == "" && i.Digest == ""
}

func isDigest(s string) bool {
	algorithm, hex, _ := strings.Cut(s, ":")
	digits := 0
	switch algorithm { // supported by github.com/opencontainers/go-digest
	case "sha256":
		digits = 64
	case "sha384":
		digits = 96
	case "sha512":
		digits = 128
	}
	return digits > 0 && len(hex) == digits && strings.Trim(hex, "0123456789abcdef") == ""
}
