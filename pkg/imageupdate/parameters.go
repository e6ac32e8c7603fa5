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

func withHelmDefaults(t ManifestTarget) ManifestTarget {
	if t.Spec == "" {
		t.Name = cmp.Or(t.Name, defaultHelmName)
		t.Tag = cmp.Or(t.Tag, defaultHelmTag)
	}
	return t
}

func helmParameters(parameters []argov1alpha1.HelmParameter) []parameter {
	params := make([]parameter, len(parameters))
	for i, p := range parameters {
		params[i] = parameter{p.Name, deref(p.Value)}
	}
	return params
}

func envParameters(env []argov1alpha1.EnvEntry) []parameter {
	params := make([]parameter, len(env))
	for i, e := range env {
		params[i] = parameter{e.Name, e.Value}
	}
	return params
}

// parameterImages returns the image that the parameters of a target set, or none. A missing name defaults to the
// configured one.
func parameterImages(params []parameter, t ManifestTarget, c ImageConfig) []Image {
	var ref string
	if t.Spec != "" {
		ref = lookupValue(params, t.Spec)
	} else if tag := lookupValue(params, t.Tag); tag != "" {
		ref = Image{Name: cmp.Or(lookupValue(params, t.Name), c.Name), Tag: tag}.String()
	}
	i, err := ParseImage(ref)
	if err != nil {
		return nil
	}
	return []Image{i}
}

// lookupValue returns the value of a name. The last duplicate wins, as in Helm and in a process environment.
func lookupValue(params []parameter, name string) string {
	for _, p := range slices.Backward(params) {
		if p.name == name && name != "" {
			return strings.TrimSpace(p.value)
		}
	}
	return ""
}

// parameters returns the parameters that set an image.
func (t ManifestTarget) parameters(to Image) []parameter {
	if t.Spec != "" {
		return []parameter{{t.Spec, to.String()}}
	}
	var params []parameter
	if t.Name != "" {
		params = append(params, parameter{t.Name, to.Name})
	}
	return append(params, parameter{t.Tag, to.version()})
}

// setHelmParameters returns the parameters with the image set. As in Image Updater, all values are forced to be
// strings: a tag such as 1.20 is not a number.
func setHelmParameters(
	parameters []argov1alpha1.HelmParameter, t ManifestTarget, to Image,
) []argov1alpha1.HelmParameter {
	parameters = slices.Clone(parameters)
	for _, p := range t.parameters(to) {
		force := true
		parameters = upsert(parameters, argov1alpha1.HelmParameter{Name: p.name, Value: &p.value, ForceString: &force},
			func(h argov1alpha1.HelmParameter) string { return h.Name })
	}
	return parameters
}

// setPluginEnv returns the environment with the image set.
func setPluginEnv(env []argov1alpha1.EnvEntry, t ManifestTarget, to Image) []argov1alpha1.EnvEntry {
	env = slices.Clone(env)
	for _, p := range t.parameters(to) {
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
