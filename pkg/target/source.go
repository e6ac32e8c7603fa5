// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
)

// sourceAt is a source of an Application and its place in there.
type sourceAt struct {
	argov1alpha1.ApplicationSource
	// field is the place as people write it, path the same as a JSON pointer.
	field, path string
}

// revision is the targetRevision, empty if there is none.
func (s sourceAt) revision() string {
	if s.TargetRevision == nil {
		return ""
	}
	return *s.TargetRevision
}

// sourcesOf lists the sources that Argo CD uses; it ignores the others that the
// specification may hold beside them.
func sourcesOf(spec *argov1alpha1.ApplicationSpec) []sourceAt {
	switch {
	case spec.SourceHydrator != nil:
		return []sourceAt{{
			ApplicationSource: spec.SourceHydrator.DrySource,
			field:             "spec.sourceHydrator.drySource",
			path:              "/spec/sourceHydrator/drySource",
		}}
	case len(spec.Sources) > 0:
		sources := make([]sourceAt, len(spec.Sources))
		for i, source := range spec.Sources {
			sources[i] = sourceAt{
				ApplicationSource: source,
				field:             fmt.Sprintf("spec.sources[%d]", i),
				path:              fmt.Sprintf("/spec/sources/%d", i),
			}
		}
		return sources
	case spec.Source != nil:
		return []sourceAt{{ApplicationSource: *spec.Source, field: "spec.source", path: "/spec/source"}}
	}
	return nil
}

// isAt reports whether the source is at a requested ref, by that name or another:
// HEAD is not replaced by the branch that it stands for.
func (s sourceAt) isAt(r Request) bool {
	return s.revision() == r.Ref || r.mayBeBranch() && tracksBranch(s.revision(), r)
}

// allAt reports whether every source is at a requested ref.
func allAt(sources []sourceAt, r Request) bool {
	for _, source := range sources {
		if !source.isAt(r) {
			return false
		}
	}
	return true
}

// allOf reports whether every source is of one repository.
func allOf(sources []sourceAt, repository string) bool {
	for _, source := range sources {
		if !SameRepository(source.RepoURL, repository) {
			return false
		}
	}
	return true
}
