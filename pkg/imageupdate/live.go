// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"slices"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
)

// liveImages are the images that Argo CD reports to run, by normalised name. Of each
// name there is one more than may count, if so many run.
type liveImages map[string][]Image

// newLiveImages finds the images that some configured ones are, or are to replace.
func newLiveImages(app *argov1alpha1.Application, configured []ImageConfig) liveImages {
	wanted := map[string]bool{}
	for _, c := range configured {
		wanted[baseName(c.Name)] = true
		wanted[baseName(c.replacedName())] = true
	}
	live := liveImages{}
	for _, ref := range app.Status.Summary.Images {
		if !wanted[baseName(ref)] {
			continue // nearly all are told without parsing them
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

// forImage are those that a configured image is, or is to replace.
func (l liveImages) forImage(c ImageConfig) []Image {
	name, err := NormalizeName(c.Name)
	if err != nil {
		return nil
	}
	replaces, _ := splitConstraint(c.replacedName()) // with the tag that the manifests have, maybe
	replaced, err := NormalizeName(replaces)
	if err != nil || replaced == name {
		return l[name]
	}
	return slices.Concat(l[name], l[replaced])
}

// replacedName is the image that Kustomize puts the configured one in the place of;
// empty if it is the same.
func (c ImageConfig) replacedName() string {
	if c.Target.SourceType != argov1alpha1.SourceTypeKustomize {
		return ""
	}
	return c.Target.Name
}

// overriddenImages are what a source sets in the place of a configured image.
func overriddenImages(source argov1alpha1.ApplicationSource, sourceType string, c ImageConfig) []Image {
	switch {
	case sourceType == argov1alpha1.SourceTypeKustomize && source.Kustomize != nil:
		return kustomizeImages(source.Kustomize.Images, c)
	case sourceType == argov1alpha1.SourceTypeHelm && source.Helm != nil:
		return parameterImages(helmParameters(source.Helm.Parameters), withHelmDefaults(c.Target), c)
	case sourceType == argov1alpha1.SourceTypePlugin && source.Plugin != nil:
		return parameterImages(envParameters(source.Plugin.Env), c.Target, c)
	}
	return nil
}

// setImage sets an image in a source. What the source points at is shared with
// the cache, so it is replaced and never modified.
func setImage(source *argov1alpha1.ApplicationSource, sourceType string, c ImageConfig, live []Image, to Image) {
	switch sourceType {
	case argov1alpha1.SourceTypeKustomize:
		k := deref(source.Kustomize)
		k.Images = setKustomizeImage(k.Images, c, live, to)
		source.Kustomize = &k
	case argov1alpha1.SourceTypeHelm:
		h := deref(source.Helm)
		h.Parameters = setHelmParameters(h.Parameters, withHelmDefaults(c.Target), to)
		source.Helm = &h
	case argov1alpha1.SourceTypePlugin:
		p := deref(source.Plugin)
		p.Env = setPluginEnv(p.Env, c.Target, to)
		source.Plugin = &p
	}
}
