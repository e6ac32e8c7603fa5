// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/distribution/reference"
)

// Image is a reference to a container image, in its parts.
type Image struct {
	// Name is the repository with its registry, as somebody spelled it: "nginx",
	// "docker.io/library/nginx", "ghcr.io/acme/shop".
	Name string
	// Tag is a tag, or empty.
	Tag string
	// Digest is the digest of a manifest, such as "sha256:…", or empty.
	Digest string
}

// ParseImage parses name[:tag][@digest], the form in which containers name their
// images (https://github.com/distribution/reference). The name keeps its spelling.
func ParseImage(ref string) (Image, error) {
	if len(ref) > maxReference {
		return Image{}, fmt.Errorf("a text of %d bytes is not a reference to an image", len(ref))
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return Image{}, fmt.Errorf("%q is not a reference to an image: %w", ref, err)
	}
	var i Image
	if digested, ok := named.(reference.Digested); ok {
		i.Digest = digested.Digest().String()
	}
	if tagged, ok := named.(reference.Tagged); ok {
		i.Tag = tagged.Tag()
	}
	i.Name = strings.TrimSuffix(strings.TrimSuffix(ref, "@"+i.Digest), ":"+i.Tag)
	return i, nil
}

// NormalizeName returns one spelling for all the names of one repository, with
// its registry: "nginx" and "docker.io/library/nginx" are both the latter. The
// result is a key for comparing, and for indexes. It is an error if the name holds
// a tag or a digest.
func NormalizeName(name string) (string, error) {
	if len(name) > maxReference {
		return "", fmt.Errorf("%s is not the name of an image", quoted(name))
	}
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", fmt.Errorf("%s is not the name of an image: %w", quoted(name), err)
	}
	if !reference.IsNameOnly(named) {
		return "", fmt.Errorf("%s is not the name of an image alone", quoted(name))
	}
	// Hosts are the same in any case; paths have lower case only.
	return strings.ToLower(reference.Domain(named)) + "/" + reference.Path(named), nil
}

// String returns name[:tag][@digest].
func (i Image) String() string {
	version := i.version()
	if version == "" || strings.HasPrefix(version, "@") {
		return i.Name + version
	}
	return i.Name + ":" + version
}

// version is what follows the name: tag, tag@digest or @digest.
func (i Image) version() string {
	if i.Digest == "" {
		return i.Tag
	}
	return i.Tag + "@" + i.Digest
}

// versioned reports whether the reference says more than the name.
func (i Image) versioned() bool {
	return i.Tag != "" || i.Digest != ""
}

// sameName reports whether two images have the same name once both are
// normalised. A name that cannot be parsed is the same as none.
func sameName(a, b string) bool {
	if a == b && a != "" {
		return true
	}
	if baseName(a) != baseName(b) {
		return false // which is told without parsing, as it is of nearly all
	}
	na, errA := NormalizeName(a)
	nb, errB := NormalizeName(b)
	return errA == nil && errB == nil && na == nb
}

// baseName is the last part of the name of an image, of a reference too. Those of one
// repository have the same, however they spell the rest.
func baseName(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	ref = ref[strings.LastIndexByte(ref, '/')+1:]
	ref, _, _ = strings.Cut(ref, ":")
	return ref
}

// validate reports whether the parts make a reference, and each is just what it
// claims to be.
func (i Image) validate() error {
	parsed, err := ParseImage(i.String())
	if err != nil {
		return err
	}
	if parsed != i {
		return fmt.Errorf("%q is not a reference to an image", i.String())
	}
	return nil
}

// joinImages lists images for people, the first few if there are many.
func joinImages(images []Image) string {
	refs := make([]string, 0, len(images))
	for _, i := range images {
		refs = append(refs, i.String())
	}
	slices.Sort(refs)
	refs = slices.Compact(refs)
	if more := len(refs) - maxJoined; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(refs[:maxJoined], ", "), more)
	}
	return strings.Join(refs, ", ")
}
