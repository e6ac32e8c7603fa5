// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"fmt"
	"strings"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
)

func parseUpdaters(objects ...*iuv1alpha1.ImageUpdater) []*Updater {
	var updaters []*Updater
	for _, object := range objects {
		updaters = append(updaters, NewUpdater(object))
	}
	return updaters
}

// semverOf returns a configuration of images with the default strategy and without aliases.
func semverOf(names ...string) Config {
	var c Config
	for _, name := range names {
		c.Images = append(c.Images, ImageConfig{Name: name, Strategy: Semver})
	}
	return c
}

// running returns an Application with one source and the given running images.
func running(sourceType string, source argov1alpha1.ApplicationSource, images ...string) *argov1alpha1.Application {
	return &argov1alpha1.Application{
		Spec: argov1alpha1.ApplicationSpec{Source: &source},
		Status: argov1alpha1.ApplicationStatus{
			SourceType: sourceType,
			Summary:    argov1alpha1.ApplicationSummary{Images: images},
		},
	}
}

func kustomize(images ...string) argov1alpha1.ApplicationSource {
	return argov1alpha1.ApplicationSource{Kustomize: &argov1alpha1.ApplicationSourceKustomize{Images: images}}
}

// follow returns a copy of the Application with the plan applied entry by entry, as a patch does.
func follow(app *argov1alpha1.Application, plan Plan) *argov1alpha1.Application {
	app = app.DeepCopy()
	for _, o := range plan.Overrides {
		source := sourceAt(app, o.Source.Path)
		if source.RepoURL != o.Source.RepoURL {
			panic(fmt.Sprintf("%s is of %s, not %s", o.Source.Field, source.RepoURL, o.Source.RepoURL))
		}
		for _, e := range o.Changes {
			switch o.List {
			case ListKustomizeImages:
				source.Kustomize = &argov1alpha1.ApplicationSourceKustomize{
					Images: put(deref(source.Kustomize).Images, e.Index, e.New.(string))}
			case ListHelmParameters:
				source.Helm = &argov1alpha1.ApplicationSourceHelm{
					Parameters: put(deref(source.Helm).Parameters, e.Index, e.New.(argov1alpha1.HelmParameter))}
			case ListPluginEnv:
				source.Plugin = &argov1alpha1.ApplicationSourcePlugin{
					Env: put(deref(source.Plugin).Env, e.Index, e.New.(argov1alpha1.EnvEntry))}
			}
		}
	}
	return app
}

// sourceAt finds a source by its JSON pointer.
func sourceAt(app *argov1alpha1.Application, path string) *argov1alpha1.ApplicationSource {
	switch {
	case path == "/spec/source":
		return app.Spec.Source
	case path == "/spec/sourceHydrator/drySource":
		return &app.Spec.SourceHydrator.DrySource
	case strings.HasPrefix(path, "/spec/sources/"):
		var i int
		if _, err := fmt.Sscanf(path, "/spec/sources/%d", &i); err == nil {
			return &app.Spec.Sources[i]
		}
	}
	panic(path + " is not a source")
}

func put[T any](list []T, index int, item T) []T {
	if index == len(list) {
		return append(list, item)
	}
	list[index] = item
	return list
}
