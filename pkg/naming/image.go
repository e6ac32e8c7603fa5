// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package naming

import (
	"errors"
	"fmt"
	"strings"

	"github.com/distribution/reference"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/text"
)

const (
	// maxHostBytes is the length of the longest DNS name with a port.
	maxHostBytes = 253 + len(":65535")
	// maxReferenceBytes is the total length of the longest host, repository, tag and digest (SHA-512).
	maxReferenceBytes = maxHostBytes + len("/") + reference.RepositoryNameTotalLengthMax +
		len(":") + 128 + len("@") + len("sha512:") + 128
)

// ParseImage parses a reference like container runtimes: without a host, it refers to Docker Hub. Tag and digest are
// optional and get no default.
//
// The grammar is defined by https://pkg.go.dev/github.com/distribution/reference.
func ParseImage(ref string) (postern.ImageReference, error) {
	if len(ref) > maxReferenceBytes {
		return postern.ImageReference{}, fmt.Errorf("the reference of an image must be at most %d bytes",
			maxReferenceBytes)
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return postern.ImageReference{}, fmt.Errorf(
			"the reference of an image %s is not valid: expected host/repository:tag",
			text.Quote(ref))
	}
	i := postern.ImageReference{Host: strings.ToLower(reference.Domain(named)), Repository: reference.Path(named)}
	if tagged, ok := named.(reference.Tagged); ok {
		i.Tag = tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		i.Digest = digested.Digest().String()
	}
	return i, nil
}

// ParseTaggedImage parses the name of an image whose tag comes from another field. Neither may extend into the other.
func ParseTaggedImage(name, tag string) (postern.ImageReference, error) {
	image, err := ParseImage(name + ":" + tag)
	if err == nil && (image.Tag != tag || image.Digest != "") {
		err = fmt.Errorf("%s is not a tag of the image %s", text.Quote(tag), text.Quote(name))
	}
	if err != nil {
		return postern.ImageReference{}, err
	}
	return image, nil
}

// NormalizeImage validates an image whose parts come from different fields, and returns it fully qualified. The joined
// reference must parse into the same parts: no part may extend into the next, and runtimes must not read the host as
// the beginning of a repository at Docker Hub. Tag and digest may be empty.
func NormalizeImage(i postern.ImageReference) (postern.ImageReference, error) {
	host, err := normalizeHost(i.Host)
	if err != nil {
		return postern.ImageReference{}, err
	}
	i.Host = strings.ToLower(i.Host)
	whole, isReference := reparse(i)
	switch {
	case isReference && whole.Host == host && whole.Tag == i.Tag && whole.Digest == i.Digest &&
		(whole.Repository == i.Repository || whole.Repository == "library/"+i.Repository):
		return whole, nil
	case !isRepository(host, i.Repository):
		return postern.ImageReference{}, fmt.Errorf(
			"the repository %s is not valid: it must be a path in lower case, of at most 255 bytes",
			text.Quote(i.Repository))
	case i.Digest != "" && !IsDigest(i.Digest):
		return postern.ImageReference{}, fmt.Errorf(
			"the digest %s is not valid: expected sha256: and 64 hexadecimal digits",
			text.Quote(i.Digest))
	}
	return postern.ImageReference{}, fmt.Errorf(
		"the tag %s is not valid: it must be at most 128 of the characters A-Z a-z 0-9 _ . -, "+
			"and must not begin with . or -",
		text.Quote(i.Tag))
}

// reparse joins the parts of the image and parses the result. ok is false if it is not a reference. It rejects long
// parts before joining them, because the body may be large.
func reparse(i postern.ImageReference) (whole postern.ImageReference, ok bool) {
	if len(i.Host)+len(i.Repository)+len(i.Tag)+len(i.Digest) > maxReferenceBytes {
		return postern.ImageReference{}, false
	}
	whole, err := ParseImage(i.String())
	return whole, err == nil
}

// normalizeHost returns the host in the spelling of references. An error does not repeat a host that may contain a
// password.
func normalizeHost(host string) (string, error) {
	if host == "" {
		return "", errors.New("the host of the registry is missing")
	}
	if strings.Contains(host, "@") {
		return "", errors.New("the host of the registry must be given without a user name and password")
	}
	lower := strings.ToLower(host[:min(len(host), maxHostBytes+1)])
	// Two components, because Docker Hub maps a single one to library/a.
	i, ok := reparse(postern.ImageReference{Host: lower, Repository: "a/a"})
	switch {
	case !ok || len(host) > maxHostBytes || i.Repository != "a/a" || (i.Host != lower && lower != "index.docker.io"):
		return "", fmt.Errorf(
			"the host of the registry %s is not valid: it must be a host name with a dot or a port, or localhost",
			text.Quote(host))
	}
	return i.Host, nil
}

// IsRegistryAddress reports whether images may be at the host of a registry, and below the path if it is not empty.
func IsRegistryAddress(host, path string) bool {
	normal, err := normalizeHost(strings.ToLower(host))
	return err == nil && (path == "" || isRepository(normal, path))
}

func isRepository(host, repository string) bool {
	i, ok := reparse(postern.ImageReference{Host: host, Repository: repository})
	return ok && i.Tag == "" && i.Digest == ""
}

// IsDigest reports whether s is a digest that images may have.
func IsDigest(s string) bool {
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
