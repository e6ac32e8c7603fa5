// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"fmt"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
)

// Source is the place of a source in an Application.
type Source struct {
	// Field is the place as people write it, such as "spec.sources[1]".
	Field string
	// Path is the same as a JSON pointer, such as "/spec/sources/1".
	Path string
	// RepoURL is the repository of the source, and Directory or Chart what of it is
	// used: by them to know that the place still holds the same source.
	RepoURL, Directory, Chart string
}

// appSource is a source, its place, and the tool that renders it.
type appSource struct {
	Source
	argov1alpha1.ApplicationSource
	// sourceType is what Argo CD found the source to be, as far as is known.
	sourceType string
	// changed is set if a list in it is no longer what was read.
	changed bool
}

// overrideCount counts the entries of the longest list.
func (s *appSource) overrideCount() int {
	return max(len(deref(s.Kustomize).Images), len(deref(s.Helm).Parameters), len(deref(s.Plugin).Env))
}

// sourcesOf lists the sources that Argo CD uses. As Image Updater does, it goes
// by what Argo CD says the tool is; for a dry source, whose type Argo CD does not
// report, by what the specification holds. Where Argo CD has not looked yet, that
// decides too.
func sourcesOf(app *argov1alpha1.Application) []appSource {
	spec, status := &app.Spec, &app.Status
	switch {
	case spec.SourceHydrator != nil:
		dry := spec.SourceHydrator.DrySource
		return []appSource{newSource(dry, "spec.sourceHydrator.drySource", "/spec/sourceHydrator/drySource",
			explicitType(dry), status.SourceType)}
	case len(spec.Sources) > 0:
		sources := make([]appSource, len(spec.Sources))
		for i, s := range spec.Sources {
			reported := ""
			if len(status.SourceTypes) == len(spec.Sources) {
				reported = status.SourceTypes[i]
			}
			sources[i] = newSource(s, fmt.Sprintf("spec.sources[%d]", i), fmt.Sprintf("/spec/sources/%d", i),
				reported, explicitType(s))
		}
		return sources
	case spec.Source != nil:
		return []appSource{newSource(*spec.Source, "spec.source", "/spec/source",
			status.SourceType, explicitType(*spec.Source))}
	}
	return nil
}

func newSource(s argov1alpha1.ApplicationSource, field, path string, types ...string) appSource {
	return appSource{
		Source:            Source{Field: field, Path: path, RepoURL: s.RepoURL, Directory: s.Path, Chart: s.Chart},
		ApplicationSource: s,
		sourceType:        firstOf(types...),
	}
}

// explicitType is the tool that the specification itself chooses, if it does.
func explicitType(s argov1alpha1.ApplicationSource) string {
	switch {
	case s.Kustomize != nil:
		return argov1alpha1.SourceTypeKustomize
	case s.Helm != nil || s.Chart != "":
		return argov1alpha1.SourceTypeHelm
	case s.Plugin != nil:
		return argov1alpha1.SourceTypePlugin
	}
	return ""
}

// hasSettings reports whether a source holds settings for a tool.
func hasSettings(s argov1alpha1.ApplicationSource, sourceType string) bool {
	switch sourceType {
	case argov1alpha1.SourceTypeKustomize:
		return s.Kustomize != nil
	case argov1alpha1.SourceTypeHelm:
		return s.Helm != nil
	case argov1alpha1.SourceTypePlugin:
		return s.Plugin != nil
	}
	return false
}

// firstSourceType is the tool of the first source whose images can be set.
func firstSourceType(sources []appSource) string {
	for _, s := range sources {
		switch s.sourceType {
		case argov1alpha1.SourceTypeKustomize, argov1alpha1.SourceTypeHelm, argov1alpha1.SourceTypePlugin:
			return s.sourceType
		}
	}
	return ""
}

// findSource finds the source that an image is written to. Like Image Updater it
// takes the first tool there is, and of its sources the first that holds settings
// for it, or else the first. A target that names a tool asks for that one.
// Without a source there is a reason.
func findSource(sources []appSource, t ManifestTarget) (found *appSource, reason, message string) {
	first := firstSourceType(sources)
	if first == "" {
		return nil, ReasonUnsupportedSource, "no source is known to be rendered by Helm, Kustomize or a plugin"
	}
	if first == argov1alpha1.SourceTypePlugin && t.SourceType == "" {
		return nil, ReasonTargetMismatch, "a plugin renders the Application, and no variable of its is named for the image"
	}
	wanted := firstOf(t.SourceType, first)
	for i := range sources {
		s := &sources[i]
		switch {
		case s.sourceType != wanted:
		case hasSettings(s.ApplicationSource, wanted):
			return s, "", ""
		case found == nil:
			found = s
		}
	}
	if found == nil {
		return nil, ReasonTargetMismatch,
			fmt.Sprintf("its target is for %s, which renders no source of the Application; %s does", wanted, first)
	}
	return found, "", ""
}
