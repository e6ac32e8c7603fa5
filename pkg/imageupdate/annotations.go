// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"fmt"
	"iter"
	"strconv"
	"strings"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
)

// annotations are the annotations of an Application. The names after the prefix are those in
// docs/configuration/images.md of Image Updater 0.18. Later releases read them if an ImageUpdater object sets
// useAnnotations.
type annotations struct {
	values map[string]string
	// recorder records the keys that are looked up; it may be nil.
	recorder *keyRecorder
}

// get returns the value of alias.name, or the value of name for all images if alias is empty. Slashes in an alias are
// replaced, because annotation names cannot contain them.
func (a annotations) get(alias, name string) (value string, present bool) {
	key := iuv1alpha1.AnnotationPrefix
	if alias != "" {
		key += strings.ReplaceAll(alias, "/", "_") + "."
	}
	a.recorder.record(key + name)
	value, present = a.values[key+name]
	return strings.TrimSpace(value), present
}

// find returns the value, or nil if it is missing or empty.
func (a annotations) find(alias, name string) *string {
	if value, _ := a.get(alias, name); value != "" {
		return &value
	}
	return nil
}

// config reads the configuration of all images, or only of those with the base name. found is false if the list of
// images is missing or empty.
func (a annotations) config(
	origin, base string, verification ...*iuv1alpha1.ImagesVerification,
) (c Config, found bool) {
	list, _ := a.get("", "image-list")
	if strings.Trim(list, ", ") == "" {
		return Config{}, false
	}
	c.Origin = origin
	c.WriteBack, _ = a.get("", "write-back-method")

	common, problem := a.settings("")
	inherited := defaults{
		settings:     []*iuv1alpha1.CommonUpdateSettings{common},
		verification: verification,
		problem:      problem,
	}
	count := 0
	for item := range splitImageList(list) {
		if count++; count > maxImages {
			c.noteTooManyImages()
			break
		}
		if alias, image := splitAlias(item); hasBaseName(image, base) {
			c.add(a.entry(alias, image), inherited)
		} else {
			c.addOther(a.otherEntry(alias, image), inherited)
		}
	}
	return c, true
}

// splitImageList splits a list of images at commas.
func splitImageList(list string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for more := true; more; {
			var item string
			item, list, more = cutImage(list)
			if item = strings.TrimSpace(item); item != "" && !yield(item) {
				return
			}
		}
	}
}

// cutImage splits a list of images after its first item. more is false if there are no others. A comma in a constraint,
// as in "web:>=1.2, <2", does not end the item: Image Updater would drop the rest and so widen the range.
func cutImage(list string) (item, rest string, more bool) {
	item, rest, more = strings.Cut(list, ",")
	if strings.TrimSpace(item) == "" {
		return "", rest, more
	}
	for more {
		part, after, found := strings.Cut(rest, ",")
		if !continuesConstraint(strings.TrimSpace(part)) {
			break
		}
		item = list[:len(item)+len(",")+len(part)]
		rest, more = after, found
	}
	return item, rest, more
}

// continuesConstraint reports whether the text after a comma is a version, with or without an operator, and not an
// image.
func continuesConstraint(s string) bool {
	if s != "" && strings.IndexByte("<>!~^", s[0]) >= 0 {
		return true
	}
	s = strings.TrimLeft(s, "=vV ")
	if end := strings.IndexAny(s, " +-|"); end >= 0 {
		s = s[:end]
	}
	return strings.ContainsAny(s, "0123456789*") && strings.Trim(s, "0123456789.xX*") == ""
}

// splitAlias splits [alias=]name[:constraint]. An equals sign in the constraint comes after a colon or a comma, which
// an alias cannot contain.
func splitAlias(item string) (alias, image string) {
	before, after, found := strings.Cut(item, "=")
	if !found || strings.ContainsAny(before, ":,") {
		return "", item
	}
	return strings.TrimSpace(before), strings.TrimSpace(after)
}

// entry reads the settings of an alias.
func (a annotations) entry(alias, image string) imageEntry {
	e := imageEntry{alias: alias, image: image}
	if e.alias == "" {
		return e // settings without an alias apply to all images
	}
	a.recorder = a.recorder.child() // these keys affect only this image
	e.settings, e.problem = a.settings(e.alias)
	e.targets = a.targets(e.alias)
	e.annotationKeys = a.recorder.keys()
	return e
}

// otherEntry reads the settings of an alias that decide where its image is written.
func (a annotations) otherEntry(alias, image string) imageEntry {
	e := imageEntry{alias: alias, image: image}
	if alias != "" {
		e.settings = &iuv1alpha1.CommonUpdateSettings{}
		e.settings.ForceUpdate, e.problem = a.forceUpdate(alias)
		e.targets = a.targets(alias)
	}
	return e
}

func (a annotations) settings(alias string) (settings *iuv1alpha1.CommonUpdateSettings, problem string) {
	settings = &iuv1alpha1.CommonUpdateSettings{
		UpdateStrategy: a.find(alias, "update-strategy"),
		AllowTags:      a.find(alias, "allow-tags"),
		PullSecret:     a.find(alias, "pull-secret"),
	}
	if settings.AllowTags == nil && alias != "" {
		// The name until release 0.7. Ignoring it would allow all tags.
		settings.AllowTags = a.find(alias, "tag-match")
	}
	if ignored, present := a.get(alias, "ignore-tags"); present {
		settings.IgnoreTags = splitList(ignored) // an empty list overrides the one for all images
	}
	if alias != "" {
		if platforms := a.find(alias, "platforms"); platforms != nil {
			settings.Platforms = splitList(*platforms)
		}
	}
	settings.ForceUpdate, problem = a.forceUpdate(alias)
	return settings, problem
}

func (a annotations) forceUpdate(alias string) (force *bool, problem string) {
	value := a.find(alias, "force-update")
	if value == nil {
		return nil, ""
	}
	forced, err := strconv.ParseBool(*value)
	if err != nil {
		problem = fmt.Sprintf("its force-update is %s; it must be true or false", quoted(*value))
	}
	return &forced, problem
}

func (a annotations) targets(alias string) *iuv1alpha1.ManifestTargets {
	var targets iuv1alpha1.ManifestTargets
	if name := a.find(alias, "kustomize.image-name"); name != nil {
		targets.Kustomize = &iuv1alpha1.KustomizeTarget{Name: name}
	}
	helm := iuv1alpha1.HelmTarget{
		Name: a.find(alias, "helm.image-name"),
		Tag:  a.find(alias, "helm.image-tag"),
		Spec: a.find(alias, "helm.image-spec"),
	}
	if helm != (iuv1alpha1.HelmTarget{}) {
		targets.Helm = &helm
	}
	return &targets
}

// splitList splits at commas. It returns at most one item more than allowed, and never nil.
func splitList(s string) []string {
	list := []string{}
	for item := range strings.SplitSeq(s, ",") {
		if len(list) > maxGlobs {
			break
		}
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}
