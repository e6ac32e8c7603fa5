// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/pkg/naming"
)

// appSource is a source of an Application and its location.
type appSource struct {
	argov1alpha1.ApplicationSource
	// field is the location as users write it, path is the same as a JSON pointer.
	field, path string
}

// revision returns the targetRevision; empty if it is absent.
func (s appSource) revision() string {
	if s.TargetRevision == nil {
		return ""
	}
	return *s.TargetRevision
}

// sourcesOf returns the sources that Argo CD uses. Argo CD ignores other sources in the same spec.
func sourcesOf(spec *argov1alpha1.ApplicationSpec) []appSource {
	switch {
	case spec.SourceHydrator != nil:
		return []appSource{{
			ApplicationSource: spec.SourceHydrator.DrySource,
			field:             "spec.sourceHydrator.drySource",
			path:              "/spec/sourceHydrator/drySource",
		}}
	case len(spec.Sources) > 0:
		sources := make([]appSource, len(spec.Sources))
		for i, source := range spec.Sources {
			sources[i] = appSource{
				ApplicationSource: source,
				field:             fmt.Sprintf("spec.sources[%d]", i),
				path:              fmt.Sprintf("/spec/sources/%d", i),
			}
		}
		return sources
	case spec.Source != nil:
		return []appSource{{ApplicationSource: *spec.Source, field: "spec.source", path: "/spec/source"}}
	}
	return nil
}

// isAtRef reports whether the source is at a requested ref, by that name or an equivalent one: HEAD is not replaced by
// the branch that it stands for.
func (s appSource) isAtRef(r Request) bool {
	return s.revision() == r.Ref || r.mayBeBranch() && tracksBranch(s.revision(), r)
}

// allAtRef reports whether every source is at a requested ref.
func allAtRef(sources []appSource, r Request) bool {
	for _, source := range sources {
		if !source.isAtRef(r) {
			return false
		}
	}
	return true
}

// allFromRepository reports whether every source is from one repository.
func allFromRepository(sources []appSource, repository string) bool {
	for _, source := range sources {
		if !naming.SameRepository(source.RepoURL, repository) {
			return false
		}
	}
	return true
}
