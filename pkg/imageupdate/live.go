// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"slices"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
)

// liveImages are the running images that Argo CD reports, by normalized name. At most maxInUse+1 images are kept per
// name.
type liveImages map[string][]Image

// newLiveImages finds the running images with the name of a configured image, or with the name that it replaces.
func newLiveImages(app *argov1alpha1.Application, configured ...[]ImageConfig) liveImages {
	wanted := map[string]bool{}
	for _, c := range slices.Concat(configured...) {
		wanted[baseName(c.Name)] = true
		wanted[baseName(c.replacedName())] = true
	}
	live := liveImages{}
	for _, ref := range app.Status.Summary.Images {
		if !wanted[baseName(ref)] {
			continue // avoids parsing nearly all references
		}
		i, err := ParseImage(ref)
		if err != nil {
			continue
		}
		if name, err := NormalizeName(i.Name); err == nil && len(live[name]) <= maxInUse {
			live[name] = append(live[name], i)
		}
	}
	return live
}

// runs reports whether an image with the name runs.
func (l liveImages) runs(name string) bool {
	normal, err := NormalizeName(name)
	return err == nil && len(l[normal]) > 0
}

// forImage returns the running images with the configured name or the name that it replaces.
func (l liveImages) forImage(c ImageConfig) []Image {
	name, err := NormalizeName(c.Name)
	if err != nil {
		return nil
	}
	replaces, _ := splitConstraint(c.replacedName()) // it may have a tag, as in the manifests
	replaced, err := NormalizeName(replaces)
	if err != nil || replaced == name {
		return l[name]
	}
	return slices.Concat(l[name], l[replaced])
}

// replacedName returns the image that Kustomize replaces with the configured one, or "" if it is the same.
func (c ImageConfig) replacedName() string {
	if c.Target.SourceType != argov1alpha1.SourceTypeKustomize {
		return ""
	}
	return c.Target.Name
}

// readOverrides adds what a source sets for a configured image.
func (c *Current) readOverrides(source *appSource, config ImageConfig, live liveImages) {
	switch source.sourceType {
	case argov1alpha1.SourceTypeKustomize:
		c.readKustomizeImages(deref(source.Kustomize).Images, config)
	case argov1alpha1.SourceTypeHelm, argov1alpha1.SourceTypePlugin:
		c.readParameters(source, config, live)
	}
}

// setImage sets an image in a source. The data behind pointers of the source is shared with the cache, so it is
// replaced and never modified.
func setImage(source *appSource, c ImageConfig, live liveImages, to Image) {
	switch source.sourceType {
	case argov1alpha1.SourceTypeKustomize:
		k := deref(source.Kustomize)
		k.Images = setKustomizeImage(k.Images, c, live.forImage(c), to)
		source.Kustomize = &k
	case argov1alpha1.SourceTypeHelm:
		h := deref(source.Helm)
		h.Parameters = setHelmParameters(h.Parameters, source.parametersFor(c, live, to))
		source.Helm = &h
	case argov1alpha1.SourceTypePlugin:
		p := deref(source.Plugin)
		p.Env = setPluginEnv(p.Env, source.parametersFor(c, live, to))
		source.Plugin = &p
	}
	source.changed, source.values = true, nil
}
