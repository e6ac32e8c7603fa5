// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/distribution/reference"

	"postern.dev/postern/pkg/naming"
)

// Image is a parsed reference to a container image.
type Image struct {
	// Name is the repository with its registry, in the original spelling: "nginx", "docker.io/library/nginx",
	// "ghcr.io/acme/shop".
	Name string
	// Tag is the tag, or empty.
	Tag string
	// Digest is the manifest digest, such as "sha256:…", or empty.
	Digest string
}

// ParseImage parses name[:tag][@digest], the format of image references in containers
// (https://github.com/distribution/reference). The name keeps its spelling.
func ParseImage(ref string) (Image, error) {
	if len(ref) > maxReference {
		return Image{}, fmt.Errorf("an image reference of %d bytes is too long", len(ref))
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return Image{}, fmt.Errorf("%q is not an image reference: %w", ref, err)
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

// NormalizeName returns the canonical name of a repository, including its registry: "docker.io/library/nginx" for
// "nginx". All addresses of a registry have one name. The result is a key for comparisons and indexes. It is an error
// if the name has a tag or a digest.
func NormalizeName(name string) (string, error) {
	if len(name) > maxReference {
		return "", fmt.Errorf("%s is not the name of an image", quoted(name))
	}
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", fmt.Errorf("%s is not the name of an image: %w", quoted(name), err)
	}
	if !reference.IsNameOnly(named) {
		return "", fmt.Errorf("%s is the name of an image with a tag or digest", quoted(name))
	}
	// Hosts are case-insensitive; paths are always lower case.
	host, path := naming.CanonicalRepository(strings.ToLower(reference.Domain(named)), reference.Path(named))
	return host + "/" + path, nil
}

func (i Image) String() string {
	version := i.version()
	if version == "" || strings.HasPrefix(version, "@") {
		return i.Name + version
	}
	return i.Name + ":" + version
}

// version returns the part after the name: tag, tag@digest or @digest.
func (i Image) version() string {
	if i.Digest == "" {
		return i.Tag
	}
	return i.Tag + "@" + i.Digest
}

// versioned reports whether the reference has a tag or a digest.
func (i Image) versioned() bool {
	return i.Tag != "" || i.Digest != ""
}

// sameName reports whether two images have the same normalized name. A name that cannot be parsed is equal only to
// itself.
func sameName(a, b string) bool {
	if a == b && a != "" {
		return true
	}
	if baseName(a) != baseName(b) {
		return false // avoids parsing in nearly all cases
	}
	na, errA := NormalizeName(a)
	nb, errB := NormalizeName(b)
	return errA == nil && errB == nil && na == nb
}

// isShortened reports whether a name is the end of an image's full name, as in charts that set the registry, or more of
// the name, in another value.
func isShortened(short, name string) bool {
	full, err := NormalizeName(name)
	return err == nil && short != "" && strings.HasSuffix(full, "/"+short)
}

// baseName returns the last path component of an image name or reference. All spellings of a repository share it.
func baseName(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	ref = ref[strings.LastIndexByte(ref, '/')+1:]
	ref, _, _ = strings.Cut(ref, ":")
	return ref
}

// validate returns an error unless the parts form a reference that parses back to the same parts.
func (i Image) validate() error {
	parsed, err := ParseImage(i.String())
	if err != nil {
		return err
	}
	if parsed != i {
		return fmt.Errorf("%q is not an image reference", i.String())
	}
	return nil
}

// joinImages lists images for messages, at most maxJoined.
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
