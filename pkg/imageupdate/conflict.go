// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"cmp"
	"fmt"
	"reflect"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
)

// place is where an image is set.
type place struct {
	image ImageConfig
	// source is nil for Kustomize, whose entries are identified by the image in the manifests.
	source *appSource
	// version is the parameter that contains the version, or the image in the manifests. name is the parameter for the
	// name, or empty; for Kustomize it is the normalized name in version, whose tag is tag.
	version, name, tag string
}

// conflict returns why an image cannot be set: another one that can be set has the same place, so that both would
// overwrite each other. It returns "" if there is no conflict.
func (p *planner) conflict(image ImageConfig) string {
	own, ok := p.placeOf(image)
	if !ok {
		return ""
	}
	for _, other := range p.allPlaces() {
		shared := own.sharedWith(other)
		if shared == "" {
			continue
		}
		if own.source == nil {
			return fmt.Sprintf("%s is written to the same entry of kustomize.images, %s; give each its own "+
				"kustomize.image-name, with the tag if the manifests differ only in that",
				quoted(other.image.Slot()), quoted(shared))
		}
		return fmt.Sprintf("%s is written to the same parameter of %s, %s; give each its own target",
			quoted(other.image.Slot()), own.source.Field, quoted(shared))
	}
	return ""
}

// allPlaces returns the places of all images that run or have force-update. Others are never set.
func (p *planner) allPlaces() []place {
	if p.places == nil {
		p.places = []place{}
		for _, images := range [][]ImageConfig{p.config.Images, p.config.Others} {
			for _, image := range images {
				if image.Problem != "" || !image.ForceUpdate && len(p.live.forImage(image)) == 0 {
					continue
				}
				if found, ok := p.placeOf(image); ok {
					p.places = append(p.places, found)
				}
			}
		}
	}
	return p.places
}

// placeOf returns the place of an image; ok is false if no source has it.
func (p *planner) placeOf(image ImageConfig) (found place, ok bool) {
	tool, reason, _ := p.toolFor(image.Target)
	if reason != "" {
		return place{}, false
	}
	if tool == argov1alpha1.SourceTypeKustomize {
		found = place{image: image, version: cmp.Or(image.replacedName(), image.Name)}
		found.name, found.tag = splitConstraint(found.version)
		if name, err := NormalizeName(found.name); err == nil {
			found.name = name
		}
		return found, true
	}
	source, reason, _ := p.findSource(image)
	if reason != "" {
		return place{}, false
	}
	t := image.parameterTarget(tool)
	if t.Spec != "" {
		return place{image: image, source: source, version: t.Spec}, true
	}
	return place{image: image, source: source, version: t.Tag, name: t.Name}, true
}

// sharedWith returns the parameter, or the image in the manifests, that two images set to different values, or "". Two
// aliases with the same settings always agree.
func (a place) sharedWith(b place) string {
	if a.source != b.source || a.image.agreesWith(b.image) {
		return ""
	}
	if a.source == nil {
		if a.name == b.name && (a.tag == b.tag || a.tag == "" || b.tag == "") {
			return b.version
		}
		return ""
	}
	switch {
	case a.version == b.version, a.version == b.name:
		return a.version
	case a.name != "" && (a.name == b.version || a.name == b.name && !sameName(a.image.Name, b.image.Name)):
		return a.name
	}
	return ""
}

// agreesWith reports whether two configured images differ only in their alias.
func (c ImageConfig) agreesWith(other ImageConfig) bool {
	c.Alias, c.Annotations = other.Alias, other.Annotations
	return c.Name == other.Name && reflect.DeepEqual(c, other)
}
