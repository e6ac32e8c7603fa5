// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"strings"
)

// Config is how the images of one Application are updated.
type Config struct {
	// Origin is where the configuration was found, for people.
	Origin string
	// WriteBack is the write-back method as configured; empty is argocd.
	WriteBack string
	// Images are the configured images, in the order they were configured in.
	Images []ImageConfig
	// Notes are what people should know about the configuration: what could not be
	// read, and what has no effect here.
	Notes []string
	// Annotations are the keys of the Application's annotations that were looked up to
	// find the configuration, absent ones too; those for one image alone are with that
	// image. Labels is whether its labels were looked at. ReadConfigForImage
	// tells both, the others neither.
	Annotations []string
	Labels      bool
}

// Repositories are the normalised names of the configured images, each one once:
// the keys under which a push finds the Application.
func (c Config) Repositories() []string {
	var names []string
	known := map[string]bool{}
	for _, image := range c.Images {
		if name, err := NormalizeName(image.Name); err == nil && !known[name] {
			known[name] = true
			names = append(names, name)
		}
	}
	return names
}

// ForImage returns the configuration of one image that was pushed: the first places where it
// is configured, as many as count.
func (c Config) ForImage(pushed Image) Config {
	var images []ImageConfig
	for _, image := range c.Images {
		if len(images) == maxEntriesPerImage {
			break
		}
		if image.Matches(pushed) {
			images = append(images, image)
		}
	}
	c.Images = images
	return c
}

// ImageConfig is how one image is updated.
type ImageConfig struct {
	// Alias is the name that the owner gave to the image; empty if none.
	Alias string
	// Name is the image without tag, as configured. It is what gets written.
	Name string
	// Constraint follows the name after a colon: a semver constraint under semver,
	// the tag to follow under digest. Other strategies ignore it.
	Constraint string
	// Strategy is how the pushed tag is judged.
	Strategy Strategy
	// AllowTags is "any", "regexp:" and an expression, or empty, which is any.
	AllowTags string
	// IgnoreTags are globs (path.Match) of tags that are never used.
	IgnoreTags []string
	// ForceUpdate updates the image even if it does not seem to run.
	ForceUpdate bool
	// Verify is set if the owner wants no image without a signature.
	Verify bool
	// Target is where the image is written.
	Target ManifestTarget
	// Problem is why this image cannot be updated at all; empty if it can.
	Problem string
	// Annotations are the keys that were looked up for this image alone; see
	// Config.Annotations.
	Annotations []string
}

// Matches reports whether it is this image that was pushed, under whatever tag.
func (c ImageConfig) Matches(pushed Image) bool { return sameName(c.Name, pushed.Name) }

// Slot names what the image is deployed as: the alias, or without one the name.
// It tells the images of one Application apart.
func (c ImageConfig) Slot() string {
	if c.Alias != "" {
		return c.Alias
	}
	return c.Name
}

// ManifestTarget is where in a source of the Application an image is written.
type ManifestTarget struct {
	// SourceType is SourceTypeKustomize, SourceTypeHelm, SourceTypePlugin, or empty:
	// what the Application uses, with the defaults for it.
	SourceType string
	// Name is the image as the manifests call it (Kustomize), or the parameter
	// (Helm) or variable (plugin) for the image's name.
	Name string
	// Tag is the parameter or variable for the tag.
	Tag string
	// Spec is the parameter or variable for the whole reference. It excludes the others.
	Spec string
}

// Strategy is how a pushed tag is judged.
type Strategy string

// The strategies, by the names they have in Image Updater.
const (
	// Semver takes a tag that is a higher semantic version than what is in use.
	Semver Strategy = "semver"
	// NewestBuild takes any tag: what was pushed last is the newest build.
	NewestBuild Strategy = "newest-build"
	// Digest follows one tag and pins what it points at.
	Digest Strategy = "digest"
	// Alphabetical takes a tag that comes after what is in use, byte by byte.
	Alphabetical Strategy = "alphabetical"
)

// parseStrategy knows the old names too. As in Image Updater, what is unknown is
// semver; known then is false.
func parseStrategy(name string) (strategy Strategy, known bool) {
	switch strings.ToLower(strings.TrimSpace(name)) {
	case "", "semver":
		return Semver, true
	case "newest-build", "latest":
		return NewestBuild, true
	case "digest":
		return Digest, true
	case "alphabetical", "name":
		return Alphabetical, true
	}
	return Semver, false
}

// hasBaseName reports whether name[:constraint] may be an image with a base name; with none
// every one is.
func hasBaseName(image, base string) bool {
	if base == "" {
		return true
	}
	name, _ := splitConstraint(image)
	return baseName(name) == base
}

// splitConstraint splits name[:constraint][@digest]. A digest is dropped: it is no
// constraint, but what updates replace. A constraint need not be a tag: "~1.2" and
// ">=1 <3" are none.
func splitConstraint(s string) (name, constraint string) {
	s, _, _ = strings.Cut(s, "@")
	path := strings.LastIndexByte(s, '/') + 1 // a colon before it is that of a port
	if colon := strings.IndexByte(s[path:], ':'); colon >= 0 {
		return strings.TrimSpace(s[:path+colon]), strings.TrimSpace(s[path+colon+1:])
	}
	return strings.TrimSpace(s), ""
}
