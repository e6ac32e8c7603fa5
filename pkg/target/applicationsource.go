// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/pkg/naming"
	"postern.dev/postern/pkg/pattern"
)

// appSource is a source of an Application and its location.
type appSource struct {
	argov1alpha1.ApplicationSource
	// field is the location as users write it, path is the same as a JSON pointer.
	field, path string
	// selects is set if targetRevision is a range of versions that allows the requested tag. The range stays.
	selects bool
}

// sourcesOf returns the sources that Argo CD uses. Argo CD ignores other sources in the same spec.
func sourcesOf(spec *argov1alpha1.ApplicationSpec) []appSource {
	switch {
	case spec.SourceHydrator != nil:
		return []appSource{{
			ApplicationSource: spec.SourceHydrator.DrySource,
			field:             "spec.sourceHydrator.drySource", path: "/spec/sourceHydrator/drySource",
		}}
	case len(spec.Sources) > 0:
		sources := make([]appSource, len(spec.Sources))
		for i, source := range spec.Sources {
			sources[i] = appSource{
				ApplicationSource: source,
				field:             fmt.Sprintf("spec.sources[%d]", i), path: fmt.Sprintf("/spec/sources/%d", i),
			}
		}
		return sources
	case spec.Source != nil:
		return []appSource{{ApplicationSource: *spec.Source, field: "spec.source", path: "/spec/source"}}
	}
	return nil
}

// repository returns the URL of the repository whose refs are the revisions of the source. The versions of a chart in
// an OCI registry, whose repoURL has no scheme or that of OCI, are the tags of the chart's own repository.
func (s appSource) repository() string {
	switch isOCI := strings.HasPrefix(s.RepoURL, naming.OCIScheme); {
	case s.Chart == "", strings.Contains(s.RepoURL, "://") && !isOCI:
		return s.RepoURL
	case isOCI:
		return strings.TrimSuffix(s.RepoURL, "/") + "/" + s.Chart
	}
	return naming.OCIScheme + strings.TrimSuffix(s.RepoURL, "/") + "/" + s.Chart
}

// revision returns the targetRevision; empty if it is absent.
func (s appSource) revision() string {
	if s.TargetRevision == nil {
		return ""
	}
	return *s.TargetRevision
}

// isAtRef reports whether the source is at a requested ref, by that name or an equivalent one: HEAD is not replaced by
// the branch that it stands for.
func (s appSource) isAtRef(r Request) bool {
	return s.selects || s.revision() == r.targetRevision() ||
		r.mayBeBranch() && tracksBranch(s.revision(), r) || r.mayBeTag() && tracksTag(s.revision(), r.Ref)
}

// selectsTag reports whether targetRevision is a range of versions from which Argo CD selects a pushed tag. A tag that
// is lower than the requested one of that range changes nothing. Without a targetRevision, Argo CD selects any version
// of a chart. A version, even a short one such as 1.2, is no range.
func (s appSource) selectsTag(namespace, tag, requested string) bool {
	version, err := semver.NewVersion(tag)
	if err != nil {
		return false
	}
	constraint := s.revision()
	if _, err := semver.NewVersion(constraint); err == nil {
		return false
	}
	if constraint == "" && s.Chart != "" {
		constraint = "*"
	}
	allowed, err := pattern.Constraint(namespace, constraint)
	if err != nil || !allowed.Check(version) {
		return false
	}
	held, err := semver.NewVersion(requested)
	return err != nil || !allowed.Check(held) || !version.LessThan(held)
}

// targetRevision returns the ref as Argo CD reads it: short, unless that means another ref.
func (r Request) targetRevision() string {
	if r.Ref == "HEAD" || r.Ref == "@" || strings.HasPrefix(r.Ref, "refs/") {
		return naming.FullRef(r.Ref, r.RefType)
	}
	return r.Ref
}

// fromRepository returns the sources from the repository of a request.
func fromRepository(sources []appSource, r Request) (found []appSource) {
	for _, source := range sources {
		if r.isFrom(source.repository()) {
			found = append(found, source)
		}
	}
	return found
}

// readRevisions returns the sources that Argo CD uses, and makes the decision depend on the fields that rules for git
// refs read.
func (b *patchBuilder) readRevisions(spec *argov1alpha1.ApplicationSpec) []appSource {
	sources := b.readSources(spec)
	if len(sources) <= maxSources {
		for _, source := range sources {
			b.test(source.path+"/targetRevision", source.TargetRevision)
			b.test(source.path+"/chart", orNull(source.Chart))
		}
	}
	return sources
}

// readSources returns the sources that Argo CD uses, and makes the decision depend on exactly these being there.
func (b *patchBuilder) readSources(spec *argov1alpha1.ApplicationSpec) []appSource {
	sources := sourcesOf(spec)
	if spec.SourceHydrator == nil {
		b.test("/spec/sourceHydrator", nil)
		b.testLength("/spec/sources", spec.Sources)
		if len(sources) == 0 {
			b.test("/spec/source", nil)
		}
	}
	if len(sources) > maxSources {
		return sources // tested as a whole
	}
	for _, source := range sources {
		b.test(source.path+"/repoURL", source.RepoURL)
		// In a list the repository does not identify a source: several directories or charts often share one, and may
		// have changed places.
		if len(spec.Sources) > 0 {
			b.test(source.path+"/path", orNull(source.Path))
			b.test(source.path+"/chart", orNull(source.Chart))
		}
	}
	return sources
}

// testLength makes the decision depend on the number of sources. JSON Patch has no test for that: an appended item is
// at the expected index only if the length is as expected.
func (b *patchBuilder) testLength(path string, list []argov1alpha1.ApplicationSource) {
	switch count := len(list); {
	case list == nil:
		b.test(path, nil)
	case count == 0 || count > maxSources:
		b.addTest(operation{Op: "test", Path: path, Value: list, uncertain: count > 0})
	case !b.tested[path]:
		b.tested[path] = true
		const end = "the end"
		last := fmt.Sprintf("%s/%d", path, count)
		b.tests = append(b.tests,
			operation{Op: "add", Path: path + "/-", Value: end, probe: true},
			operation{Op: "test", Path: last, Value: end, probe: true},
			operation{Op: "remove", Path: last, probe: true})
	}
}

// isVersioned reports whether the targetRevision of the source is the version of an artifact, and no git ref.
func (s appSource) isVersioned() bool {
	return s.Chart != "" || strings.HasPrefix(s.RepoURL, naming.OCIScheme)
}

// mayBeVersion reports whether the ref may be the version of a chart: a semantic version, with or without a "v".
func (r Request) mayBeVersion() bool {
	if !r.mayBeTag() {
		return false
	}
	_, err := semver.StrictNewVersion(strings.TrimPrefix(r.Ref, "v"))
	return err == nil
}

// sourcesTaking returns the sources whose targetRevision can be the requested ref. If some can't, note says why.
func sourcesTaking(sources []appSource, r Request) (taking []appSource, note string) {
	for _, source := range sources {
		if source.isVersioned() && !r.mayBeVersion() {
			note = fmt.Sprintf("%s.targetRevision is not changed, because it is the version of a chart or an OCI "+
				"artifact, and %q is no semantic version", source.field, r.Ref)
			continue
		}
		taking = append(taking, source)
	}
	return taking, note
}

// keepRanges keeps the range in the targetRevision of each source that allows the tag requested by name, since to
// replace it would end the tracking; note says so. The redelivery of a lower tag than the requested one replaces it:
// the range does not go back.
func (b *patchBuilder) keepRanges(namespace string, sources []appSource) (note string) {
	if b.request.IfFollowed || !b.request.mayBeTag() {
		return ""
	}
	var requested string
	if b.request.Override {
		requested = b.readAnnotations(AnnotationRequestedRef)[AnnotationRequestedRef]
	}
	for i := range sources {
		s := &sources[i]
		if s.revision() != "" && s.selectsTag(namespace, b.request.Ref, requested) {
			s.selects = true
			note = fmt.Sprintf("%s.targetRevision is not changed, because the range %q allows %q",
				s.field, s.revision(), b.request.Ref)
		}
	}
	return note
}

// awaitedCommit returns the commit that the status of an Application should show once Argo CD has seen a request; empty
// if it is unknown, or none of the sources tracks the ref or is moved to it.
func awaitedCommit(sources, moved []appSource, r Request) string {
	if !naming.IsCommitID(r.Revision) || len(sources) > maxSources {
		return ""
	}
	isUnknown := r.Repository == "" && r.SSHURL == ""
	mayShow := func(s appSource) bool {
		return !s.isVersioned() && !s.selects && (isUnknown || r.isFrom(s.repository()))
	}
	tracks := func(s appSource) bool { return s.isAtRef(r) && mayShow(s) }
	if slices.ContainsFunc(sources, tracks) || slices.ContainsFunc(moved, mayShow) {
		return r.Revision
	}
	return ""
}
