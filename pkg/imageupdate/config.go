// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"slices"
	"strings"
)

// Config describes how the images of one Application are updated.
type Config struct {
	// Origin describes where the configuration was found, for messages.
	Origin string
	// WriteBack is the configured write-back method; empty means argocd.
	WriteBack string
	// Images are the configured images, in configuration order.
	Images []ImageConfig
	// Others are the remaining images of a configuration that was reduced to one image. Of these, at least Alias, Name,
	// Target, ForceUpdate and Problem are set: they show whether two images are written to the same place.
	Others []ImageConfig
	// Notes report settings that could not be read or have no effect here.
	Notes []string
	// Annotations are the keys of the Application's annotations that were looked up, including absent ones. Keys for a
	// single image are in its ImageConfig. Labels reports whether the Application's labels were read. Only
	// ReadConfigForImage sets both.
	Annotations []string
	Labels      bool
}

// Repositories returns the normalized names of the configured images, without duplicates. A push finds the Application
// by these keys.
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

// ForImage returns the configuration reduced to the entries of the pushed image, at most maxEntriesPerImage.
func (c Config) ForImage(pushed Image) Config {
	var images []ImageConfig
	others := slices.Clip(c.Others)
	for _, image := range c.Images {
		switch {
		case !image.Matches(pushed):
			others = append(others, image)
		case len(images) < maxEntriesPerImage:
			images = append(images, image)
		}
	}
	c.Images, c.Others = images, others
	return c
}

// ImageConfig describes how one image is updated.
type ImageConfig struct {
	// Alias is the name that the owner gave to the image, or empty.
	Alias string
	// Name is the configured image name without a tag. It is written as is.
	Name string
	// Constraint is the text after the name and a colon: a semver constraint for semver, the tag to follow for digest.
	// Other strategies ignore it.
	Constraint string
	// Strategy selects how the pushed tag is evaluated.
	Strategy Strategy
	// AllowTags is "any", "regexp:" followed by an expression, or empty, which means any.
	AllowTags string
	// IgnoreTags are globs (path.Match) of tags that are never used.
	IgnoreTags []string
	// ForceUpdate updates the image even if it is not reported to run.
	ForceUpdate bool
	// Verify requires a signature for every image.
	Verify bool
	Target ManifestTarget
	// Problem is the reason that this image cannot be updated, or empty.
	Problem string
	// Annotations are the keys that were looked up only for this image; see Config.Annotations.
	Annotations []string
}

// Matches reports whether the pushed image has the configured name, with any tag.
func (c ImageConfig) Matches(pushed Image) bool { return sameName(c.Name, pushed.Name) }

// Slot returns the alias, or the name if there is no alias. It distinguishes the images of one Application.
func (c ImageConfig) Slot() string {
	if c.Alias != "" {
		return c.Alias
	}
	return c.Name
}

// ManifestTarget is the place in a source of the Application where an image is written.
type ManifestTarget struct {
	// SourceType is SourceTypeKustomize, SourceTypeHelm or SourceTypePlugin. If empty, the type and defaults of the
	// Application apply.
	SourceType string
	// Name is the image name in the manifests (Kustomize), or the parameter (Helm) or variable (plugin) for the image
	// name.
	Name string
	// Tag is the parameter or variable for the tag.
	Tag string
	// Spec is the parameter or variable for the whole reference. It excludes the others.
	Spec string
}

// Strategy defines how a pushed tag is evaluated.
type Strategy string

// The strategies, with the names that Image Updater uses.
const (
	// Semver accepts a tag with a higher semantic version than the one in use.
	Semver Strategy = "semver"
	// NewestBuild accepts any tag: the last push is the newest build.
	NewestBuild Strategy = "newest-build"
	// Digest follows one tag and pins its digest.
	Digest Strategy = "digest"
	// Alphabetical accepts a tag that sorts after the one in use, byte by byte.
	Alphabetical Strategy = "alphabetical"
)

// parseStrategy also accepts the old names. As in Image Updater, an unknown name is treated as semver; known is then
// false.
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

// hasBaseName reports whether name[:constraint] may be an image with the base name. An empty base name matches every
// image.
func hasBaseName(image, base string) bool {
	if base == "" {
		return true
	}
	name, _ := splitConstraint(image)
	return baseName(name) == base
}

// splitConstraint splits name[:constraint][@digest]. The digest is dropped, because updates replace it. A constraint
// need not be a valid tag, such as "~1.2" or ">=1 <3".
func splitConstraint(s string) (name, constraint string) {
	s, _, _ = strings.Cut(s, "@")
	path := strings.LastIndexByte(s, '/') + 1 // a colon before it starts a port
	if colon := strings.IndexByte(s[path:], ':'); colon >= 0 {
		return strings.TrimSpace(s[:path+colon]), strings.TrimSpace(s[path+colon+1:])
	}
	if comma := strings.IndexByte(s[path:], ','); comma >= 0 { // see splitImageList
		return strings.TrimSpace(s[:path+comma]), s[path+comma:]
	}
	return strings.TrimSpace(s), ""
}
