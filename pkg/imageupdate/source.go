// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"cmp"
	"fmt"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
)

// Source identifies a source of an Application.
type Source struct {
	// Field is its field path, such as "spec.sources[1]".
	Field string
	// Path is its JSON pointer, such as "/spec/sources/1".
	Path string
	// RepoURL is the repository of the source; Directory or Chart is the part that is used. They verify that the path
	// still refers to the same source.
	RepoURL, Directory, Chart string
}

// appSource is a source with its location and the tool that renders it.
type appSource struct {
	Source
	argov1alpha1.ApplicationSource
	// sourceType is the type reported by Argo CD or inferred from the specification; empty if unknown.
	sourceType string
	// changed is set if a list in the source was modified.
	changed bool
	// values caches the parameters or variables; see value.
	values map[string]string
}

// overrideCount returns the length of the longest list.
func (s *appSource) overrideCount() int {
	return max(len(deref(s.Kustomize).Images), len(deref(s.Helm).Parameters), len(deref(s.Plugin).Env))
}

// sourcesOf returns the sources that Argo CD uses. As in Image Updater, the reported type wins. For a dry source, whose
// type Argo CD does not report, and for sources without a reported type, the specification decides.
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
		sourceType:        cmp.Or(types...),
	}
}

// explicitType returns the tool that the specification selects, or "".
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

// hasSettings reports whether a source has settings for a tool.
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

// firstSourceType returns the tool of the first source whose images can be set, or "".
func firstSourceType(sources []appSource) string {
	for _, s := range sources {
		switch s.sourceType {
		case argov1alpha1.SourceTypeKustomize, argov1alpha1.SourceTypeHelm, argov1alpha1.SourceTypePlugin:
			return s.sourceType
		}
	}
	return ""
}

// findSource finds the source that an image is written to. The target selects the tool; the default is the tool of the
// first source, as in Image Updater. Among the sources of that tool, it prefers the one that already sets the image,
// then one with the image's parameters, then one with settings for the tool, then the first. If no source is found, it
// returns a reason and a message.
func (p *planner) findSource(c ImageConfig) (found *appSource, reason, message string) {
	wanted, reason, message := p.toolFor(c.Target)
	if reason != "" {
		return nil, reason, message
	}
	best := -1
	for i := range p.sources {
		s := &p.sources[i]
		if s.sourceType != wanted {
			continue
		}
		if preference := p.preference(s, c); preference > best {
			found, best = s, preference
		}
	}
	if found == nil {
		return nil, ReasonTargetMismatch,
			fmt.Sprintf("its target is for %s, but no source of the Application is rendered by it; %s is used",
				wanted, firstSourceType(p.sources))
	}
	return found, "", ""
}

// toolFor returns the tool whose settings a target is in, or why there is none.
func (p *planner) toolFor(t ManifestTarget) (tool, reason, message string) {
	first := firstSourceType(p.sources)
	switch {
	case first == "":
		return "", ReasonUnsupportedSource, "no source is known to be rendered by Helm, Kustomize or a plugin"
	case first == argov1alpha1.SourceTypePlugin && t.SourceType == "":
		return "", ReasonTargetMismatch,
			"a plugin renders the Application, and the target names no plugin variable for the image"
	}
	return cmp.Or(t.SourceType, first), "", ""
}

// preference returns how well an image fits into a source of its tool: the highest is best.
func (p *planner) preference(s *appSource, c ImageConfig) int {
	if !hasSettings(s.ApplicationSource, s.sourceType) {
		return 0
	}
	if s.sourceType == argov1alpha1.SourceTypeKustomize {
		images := s.Kustomize.Images
		if len(images) <= maxOverrides && p.budget.spend(len(images)) && len(kustomizeEntries(images, c)) > 0 {
			return 3
		}
		return 1
	}
	t := c.parameterTarget(s.sourceType)
	name := s.imageName(t)
	isCandidate := baseName(name) == baseName(c.Name) // avoids parsing in nearly all cases
	switch {
	case isCandidate && p.budget.spend(nameSteps) && c.isNamed(name, p.live):
		return 3
	case s.value(cmp.Or(t.Spec, t.Tag)) != "":
		return 2
	}
	return 1
}
