// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"cmp"
	"slices"
	"strings"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
)

// Parameters that are set if the configuration names none.
//
// Source: https://github.com/argoproj-labs/argocd-image-updater, pkg/common/constants.go.
const (
	defaultHelmName = "image.name"
	defaultHelmTag  = "image.tag"
)

// parameter is a named value: a Helm parameter, or an environment variable of a plugin.
type parameter struct{ name, value string }

// parameterTarget returns the parameters that set an image in sources of a type, with the defaults of Helm.
func (c ImageConfig) parameterTarget(sourceType string) ManifestTarget {
	t := c.Target
	if sourceType == argov1alpha1.SourceTypeHelm && t.Spec == "" {
		t.Name = cmp.Or(t.Name, defaultHelmName)
		t.Tag = cmp.Or(t.Tag, defaultHelmTag)
	}
	return t
}

// value returns the value of a parameter or variable. The last duplicate wins, as in Helm and in a process environment.
func (s *appSource) value(name string) string {
	if s.values == nil && s.overrideCount() <= maxOverrides {
		s.values = map[string]string{}
		for _, p := range deref(s.Helm).Parameters {
			if s.sourceType == argov1alpha1.SourceTypeHelm {
				s.values[p.Name] = strings.TrimSpace(deref(p.Value))
			}
		}
		for _, e := range deref(s.Plugin).Env {
			if s.sourceType == argov1alpha1.SourceTypePlugin {
				s.values[e.Name] = strings.TrimSpace(e.Value)
			}
		}
	}
	return s.values[name]
}

// imageName returns the image name in the parameters of a target, or "".
func (s *appSource) imageName(t ManifestTarget) string {
	if t.Spec == "" {
		return s.value(t.Name)
	}
	i, err := ParseImage(s.value(t.Spec))
	if err != nil {
		return ""
	}
	return i.Name
}

// readParameters adds the image that the parameters of a source set. A missing name defaults to the configured one.
func (c *Current) readParameters(source *appSource, config ImageConfig, live liveImages) {
	t := config.parameterTarget(source.sourceType)
	ref := source.value(t.Spec)
	if t.Spec == "" {
		if tag := source.value(t.Tag); tag != "" {
			ref = Image{Name: cmp.Or(source.value(t.Name), config.Name), Tag: tag}.String()
		}
	}
	if ref == "" {
		return
	}
	i, err := ParseImage(ref)
	if err != nil {
		c.Unreadable = ref
		return
	}
	if config.isNamed(i.Name, live) {
		i.Name = config.Name
	}
	c.Overrides = append(c.Overrides, i)
}

// isNamed reports whether the name in a parameter is the configured one. If the chart sets the registry separately, the
// parameter has only the end of the name, and no image runs under that alone.
func (c ImageConfig) isNamed(name string, live liveImages) bool {
	return sameName(name, c.Name) || isShortened(name, c.Name) && (live.runs(c.Name) || !live.runs(name))
}

// parametersFor returns the parameters that set an image. Its name keeps the owner's spelling.
func (s *appSource) parametersFor(c ImageConfig, live liveImages, to Image) []parameter {
	t := c.parameterTarget(s.sourceType)
	if name := s.imageName(t); c.isNamed(name, live) {
		to.Name = name
	}
	if t.Spec != "" {
		return []parameter{{t.Spec, to.String()}}
	}
	var params []parameter
	if t.Name != "" {
		params = append(params, parameter{t.Name, to.Name})
	}
	return append(params, parameter{t.Tag, to.version()})
}

// setHelmParameters returns the parameters with some set. As in Image Updater, all values are forced to be strings: a
// tag such as 1.20 is not a number.
func setHelmParameters(parameters []argov1alpha1.HelmParameter, set []parameter) []argov1alpha1.HelmParameter {
	parameters = slices.Clone(parameters)
	for _, p := range set {
		force := true
		parameters = upsert(parameters, argov1alpha1.HelmParameter{Name: p.name, Value: &p.value, ForceString: &force},
			func(h argov1alpha1.HelmParameter) string { return h.Name })
	}
	return parameters
}

// setPluginEnv returns the environment with some variables set.
func setPluginEnv(env []argov1alpha1.EnvEntry, set []parameter) []argov1alpha1.EnvEntry {
	env = slices.Clone(env)
	for _, p := range set {
		env = upsert(env, argov1alpha1.EnvEntry{Name: p.name, Value: p.value},
			func(e argov1alpha1.EnvEntry) string { return e.Name })
	}
	return env
}

// upsert replaces all items with the name of the given item, or appends it.
func upsert[T any](list []T, item T, name func(T) string) []T {
	found := false
	for i := range list {
		if name(list[i]) == name(item) {
			list[i], found = item, true
		}
	}
	if found {
		return list
	}
	return append(list, item)
}
