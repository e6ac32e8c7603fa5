// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"slices"
	"strings"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
)

// The parameters that are set if the configuration names none.
//
// Source: https://github.com/argoproj-labs/argocd-image-updater, pkg/common/constants.go.
const (
	defaultHelmName = "image.name"
	defaultHelmTag  = "image.tag"
)

// parameter is a named value: a Helm parameter, or an environment variable of a plugin.
type parameter struct{ name, value string }

// withHelmDefaults fills in the default parameters.
func withHelmDefaults(t ManifestTarget) ManifestTarget {
	if t.Spec == "" {
		t.Name = firstOf(t.Name, defaultHelmName)
		t.Tag = firstOf(t.Tag, defaultHelmTag)
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

// parameterImages is the image that pairs set under the names of a target, if they
// do. A missing name is the configured one.
func parameterImages(params []parameter, t ManifestTarget, c ImageConfig) []Image {
	var ref string
	if t.Spec != "" {
		ref = lookupValue(params, t.Spec)
	} else if tag := lookupValue(params, t.Tag); tag != "" {
		ref = Image{Name: firstOf(lookupValue(params, t.Name), c.Name), Tag: tag}.String()
	}
	i, err := ParseImage(ref)
	if err != nil {
		return nil
	}
	return []Image{i}
}

// lookupValue is the value of a name, the last one if there are several: Helm and the
// environment of a process take the last.
func lookupValue(params []parameter, name string) string {
	for _, p := range slices.Backward(params) {
		if p.name == name && name != "" {
			return strings.TrimSpace(p.value)
		}
	}
	return ""
}

// parameters are the pairs that set an image.
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

// setHelmParameters returns the parameters with an image set. All that Image Updater
// sets are strings by force: a tag such as 1.20 is no number.
func setHelmParameters(parameters []argov1alpha1.HelmParameter, t ManifestTarget, to Image) []argov1alpha1.HelmParameter {
	parameters = slices.Clone(parameters)
	for _, p := range t.parameters(to) {
		force := true
		parameters = upsert(parameters, argov1alpha1.HelmParameter{Name: p.name, Value: &p.value, ForceString: &force},
			func(h argov1alpha1.HelmParameter) string { return h.Name })
	}
	return parameters
}

// setPluginEnv returns the environment with an image set.
func setPluginEnv(env []argov1alpha1.EnvEntry, t ManifestTarget, to Image) []argov1alpha1.EnvEntry {
	env = slices.Clone(env)
	for _, p := range t.parameters(to) {
		env = upsert(env, argov1alpha1.EnvEntry{Name: p.name, Value: p.value},
			func(e argov1alpha1.EnvEntry) string { return e.Name })
	}
	return env
}

// upsert puts an item in the place of those with its name, or at the end.
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
