// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
)

// generator generates Applications and pushes from a small set of names and tags, so that they often match.
type generator struct{ *rand.Rand }

func one[T any](c generator, of ...T) T { return of[c.IntN(len(of))] }

// some generates up to three items.
func some[T any](c generator, draw func() T) []T {
	var all []T
	for range c.IntN(4) {
		all = append(all, draw())
	}
	return all
}

func (c generator) name() string {
	return one(c, "shop", "docker.io/library/shop", "library/shop", "ghcr.io/acme/shop", "nginx", "localhost:5000/shop")
}

func (c generator) version() string {
	prefix, suffix := one(c, "", "", "v"), one(c, "", "", "-0", "-rc.1", "-rc.2", "-alpine")
	switch c.IntN(4) {
	case 0:
		return fmt.Sprintf("%s%d.%d%s", prefix, c.IntN(3), c.IntN(3), suffix)
	case 1:
		return one(c, "latest", "main", "2026-01-31", "f33bacd", "1", "v2")
	}
	return fmt.Sprintf("%s%d.%d.%d%s", prefix, c.IntN(3), c.IntN(3), c.IntN(12), suffix)
}

func (c generator) image() Image {
	i := Image{Name: c.name()}
	if c.IntN(8) > 0 {
		i.Tag = c.version()
	}
	if c.IntN(4) == 0 {
		i.Digest = digests.Replace(one(c, "sha256:old", "sha256:new"))
	}
	return i
}

func (c generator) config() ImageConfig {
	config := ImageConfig{
		Alias:       one(c, "", "a", "b"),
		Name:        c.name(),
		Strategy:    one(c, Semver, Semver, NewestBuild, Digest, Alphabetical),
		Constraint:  one(c, "", "", "*", "1.x", "~1.2", ">=1-0", "*-0", "latest", "1.0.0"),
		AllowTags:   one(c, "", "", "any", "regexp:^v", "regexp:[0-9]$"),
		IgnoreTags:  one(c, nil, nil, []string{"latest", "*-alpine"}),
		ForceUpdate: c.IntN(3) == 0,
	}
	switch c.IntN(5) {
	case 0:
		config.Target = ManifestTarget{SourceType: "Kustomize", Name: one(c, "", "shop", "base/shop")}
	case 1:
		config.Target = ManifestTarget{SourceType: "Helm", Name: one(c, "", "n"), Tag: one(c, "", "t")}
	case 2:
		config.Target = ManifestTarget{SourceType: "Helm", Spec: "s"}
	case 3:
		config.Target = ManifestTarget{SourceType: "Plugin", Name: one(c, "", "n"), Tag: "t", Spec: one(c, "", "s")}
	}
	return config
}

func (c generator) source() argov1alpha1.ApplicationSource {
	value := func() string { return one(c, c.image().String(), c.version(), c.name()) }
	name := func() string { return one(c, "n", "t", "s", "image.name", "image.tag", "other") }
	source := argov1alpha1.ApplicationSource{RepoURL: "https://git/" + one(c, "a", "b")}
	switch c.IntN(4) {
	case 0:
		source.Kustomize = &argov1alpha1.ApplicationSourceKustomize{
			Images: some(c, func() string { return one(c, "", "shop=", "base/shop=") + c.image().String() })}
	case 1:
		source.Helm = &argov1alpha1.ApplicationSourceHelm{
			Parameters: some(c, func() argov1alpha1.HelmParameter {
				return argov1alpha1.HelmParameter{Name: name(), Value: new(value())}
			})}
	case 2:
		source.Plugin = &argov1alpha1.ApplicationSourcePlugin{
			Env: some(c, func() argov1alpha1.EnvEntry { return argov1alpha1.EnvEntry{Name: name(), Value: value()} })}
	}
	return source
}

func (c generator) application() *argov1alpha1.Application {
	sourceType := func() string { return one(c, "Kustomize", "Helm", "Plugin", "Directory", "") }
	app := &argov1alpha1.Application{}
	app.Status.Summary.Images = some(c, func() string { return c.image().String() })
	switch c.IntN(4) {
	case 0:
		app.Spec.Sources = append(some(c, c.source), c.source())
		app.Status.SourceTypes = some(c, sourceType)
	case 1:
		app.Spec.SourceHydrator = &argov1alpha1.SourceHydrator{DrySource: c.source()}
	default:
		app.Spec.Source = new(c.source())
		app.Status.SourceType = sourceType()
	}
	return app
}

// propertyCases is the environment variable with the number of random cases of each property.
const propertyCases = "PROPERTY_CASES"

// repeat checks a property on many random cases and reports the seed of a failure.
func repeat(t *testing.T, times int, property func(c generator) string) {
	t.Helper()
	if text := os.Getenv(propertyCases); text != "" {
		cases, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("%s: %v", propertyCases, err)
		}
		times = max(times, cases)
	}
	for seed := range uint64(times) {
		if failure := property(generator{rand.New(rand.NewPCG(seed, 0))}); failure != "" {
			t.Fatalf("with seed %d: %s", seed, failure)
		}
	}
}
