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

// pair is a named value: a Helm parameter, or an environment variable of a plugin.
type pair struct{ name, value string }

// helmTarget fills in the default parameters.
func helmTarget(t Target) Target {
	if t.Spec == "" {
		t.Name = firstOf(t.Name, defaultHelmName)
		t.Tag = firstOf(t.Tag, defaultHelmTag)
	}
	return t
}

func helmPairs(parameters []argov1alpha1.HelmParameter) []pair {
	pairs := make([]pair, len(parameters))
	for i, p := range parameters {
		pairs[i] = pair{p.Name, deref(p.Value)}
	}
	return pairs
}

func envPairs(env []argov1alpha1.EnvEntry) []pair {
	pairs := make([]pair, len(env))
	for i, e := range env {
		pairs[i] = pair{e.Name, e.Value}
	}
	return pairs
}

// pairOverrides is the image that pairs set under the names of a target, if they
// do. A missing name is the configured one.
func pairOverrides(pairs []pair, t Target, c ImageConfig) []Image {
	var ref string
	if t.Spec != "" {
		ref = value(pairs, t.Spec)
	} else if tag := value(pairs, t.Tag); tag != "" {
		ref = Image{Name: firstOf(value(pairs, t.Name), c.Name), Tag: tag}.String()
	}
	i, err := ParseImage(ref)
	if err != nil {
		return nil
	}
	return []Image{i}
}

// value is the value of a name, the last one if there are several: Helm and the
// environment of a process take the last.
func value(pairs []pair, name string) string {
	for _, p := range slices.Backward(pairs) {
		if p.name == name && name != "" {
			return strings.TrimSpace(p.value)
		}
	}
	return ""
}

// settings are the pairs that set an image.
func (t Target) settings(to Image) []pair {
	if t.Spec != "" {
		return []pair{{t.Spec, to.String()}}
	}
	var pairs []pair
	if t.Name != "" {
		pairs = append(pairs, pair{t.Name, to.Name})
	}
	return append(pairs, pair{t.Tag, to.version()})
}

// overrideHelm returns the parameters with an image set. All that Image Updater
// sets are strings by force: a tag such as 1.20 is no number.
func overrideHelm(parameters []argov1alpha1.HelmParameter, t Target, to Image) []argov1alpha1.HelmParameter {
	parameters = slices.Clone(parameters)
	for _, p := range t.settings(to) {
		force := true
		parameters = set(parameters, argov1alpha1.HelmParameter{Name: p.name, Value: &p.value, ForceString: &force},
			func(h argov1alpha1.HelmParameter) string { return h.Name })
	}
	return parameters
}

// overrideEnv returns the environment with an image set.
func overrideEnv(env []argov1alpha1.EnvEntry, t Target, to Image) []argov1alpha1.EnvEntry {
	env = slices.Clone(env)
	for _, p := range t.settings(to) {
		env = set(env, argov1alpha1.EnvEntry{Name: p.name, Value: p.value},
			func(e argov1alpha1.EnvEntry) string { return e.Name })
	}
	return env
}

// set puts an item in the place of those with its name, or at the end.
func set[T any](list []T, item T, name func(T) string) []T {
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
