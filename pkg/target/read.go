// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/pkg/imageupdate"
)

// only returns some of the annotations for a rule to read, and makes the decision
// depend on each, be it there or not.
func (d *draft) only(keys ...string) map[string]string {
	kept := map[string]string{}
	for _, key := range keys {
		d.testAnnotation(key)
		if value, ok := d.annotations[key]; ok {
			kept[key] = value
		}
	}
	return kept
}

// revisions returns the sources that Argo CD uses, and makes the decision depend on
// what rules for git refs read of them.
func (d *draft) revisions(spec *argov1alpha1.ApplicationSpec) []sourceAt {
	sources := d.sources(spec)
	if len(sources) <= maxSources {
		for _, source := range sources {
			d.test(source.path+"/targetRevision", pointed(source.TargetRevision))
		}
	}
	return sources
}

// sources returns the sources that Argo CD uses, and makes the decision depend on
// there being just these.
func (d *draft) sources(spec *argov1alpha1.ApplicationSpec) []sourceAt {
	sources := sourcesOf(spec)
	if spec.SourceHydrator == nil {
		d.test("/spec/sourceHydrator", nil)
		d.testLength("/spec/sources", spec.Sources)
		if len(sources) == 0 {
			d.test("/spec/source", nil)
		}
	}
	if len(sources) > maxSources {
		return sources // tested as a whole
	}
	for _, source := range sources {
		d.test(source.path+"/repoURL", source.RepoURL)
		// In a list it takes more than the repository to tell: several directories or
		// charts are often of one, and may have changed places.
		if len(spec.Sources) > 0 {
			d.test(source.path+"/path", orNull(source.Path))
			d.test(source.path+"/chart", orNull(source.Chart))
		}
	}
	return sources
}

// testLength makes the decision depend on how many sources there are. JSON Patch has
// no test for that: what is appended is only found where it should be if there are as many.
func (d *draft) testLength(path string, list []argov1alpha1.ApplicationSource) {
	switch count := len(list); {
	case list == nil:
		d.test(path, nil)
	case count == 0 || count > maxSources:
		d.rely(Operation{Op: "test", Path: path, Value: list, doubtful: count > 0})
	case !d.tested[path]:
		d.tested[path] = true
		const end = "the end"
		last := fmt.Sprintf("%s/%d", path, count)
		d.tests = append(d.tests,
			Operation{Op: "add", Path: path + "/-", Value: end, probe: true},
			Operation{Op: "test", Path: last, Value: end, probe: true},
			Operation{Op: "remove", Path: last, probe: true})
	}
}

// images returns what of an Application the rules for images read, and makes the
// decision depend on it. The configuration, which names the image that was pushed,
// must be one of imageupdate.ReadConfigForImage.
func (d *draft) images(app *argov1alpha1.Application) *argov1alpha1.Application {
	if sources := d.sources(&app.Spec); len(sources) <= maxSources {
		for _, source := range sources {
			d.test(source.path+"/chart", orNull(source.Chart))
			d.testTools(source)
		}
	}
	if len(app.Spec.Sources) > 0 && app.Spec.SourceHydrator == nil {
		d.testStatus("/status/sourceTypes", listed(app.Status.SourceTypes), app)
	} else {
		d.testStatus("/status/sourceType", orNull(app.Status.SourceType), app)
	}
	d.testStatus("/status/summary/images", listed(app.Status.Summary.Images), app)
	read := &argov1alpha1.Application{Spec: app.Spec, Status: app.Status}
	read.Namespace = app.Namespace
	return read
}

// testTools makes the decision depend on what is passed to the tools that may render a source.
func (d *draft) testTools(source sourceAt) {
	if source.Kustomize == nil {
		d.test(source.path+"/kustomize", nil)
	} else {
		d.test(source.path+"/kustomize/images", listed(source.Kustomize.Images))
	}
	if source.Helm == nil {
		d.test(source.path+"/helm", nil)
	} else {
		d.test(source.path+"/helm/parameters", listed(source.Helm.Parameters))
	}
	if source.Plugin == nil {
		d.test(source.path+"/plugin", nil)
	} else {
		d.test(source.path+"/plugin/env", listed(source.Plugin.Env))
	}
}

// testStatus makes the decision depend on a part of the status. Where no image is
// reported the cache can't tell whether what holds the part is there.
func (d *draft) testStatus(path string, value any, app *argov1alpha1.Application) {
	d.rely(Operation{Op: "test", Path: path, Value: value, doubtful: len(app.Status.Summary.Images) == 0})
}

// testConfiguration makes the decision depend on what the configuration for image
// updates was read from, which is that of one image.
func (d *draft) testConfiguration(labels map[string]string, config imageupdate.Config) {
	d.only(config.Annotations...)
	for _, image := range config.Images {
		d.only(image.Annotations...)
	}
	if config.Labels {
		d.test("/metadata/labels", mapped(labels))
	}
}

// pointed, listed and mapped are the values of tests for what may be absent.
func pointed(value *string) any {
	if value == nil {
		return nil
	}
	return *value
}

func listed[T any](list []T) any {
	if list == nil {
		return nil
	}
	return list
}

func mapped(values map[string]string) any {
	if values == nil {
		return nil
	}
	return values
}
