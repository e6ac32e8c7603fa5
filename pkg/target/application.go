// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"
	"sync"
	"time"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/naming"
)

// DecideApplication returns the changes that a requested git ref makes to an Application. It does not modify app, which
// may come from a cache.
//
// A ref that is already requested is requested again if it points at another commit, since Argo CD must refresh.
func DecideApplication(app *argov1alpha1.Application, r Request) Decision {
	b := newPatchBuilder(app.Annotations)
	previous := b.readAnnotations(AnnotationRequestedRef)[AnnotationRequestedRef]
	// Read lazily: most Applications get only the annotations.
	allSources := sync.OnceValue(func() []appSource { return b.readRevisions(&app.Spec) })
	candidates := allSources
	if r.IfFollowed {
		followed, problem := sourcesFollowing(app.Namespace,
			b.readAnnotations(AnnotationFollowTags, AnnotationRequestedRef), allSources(), r)
		if len(followed) == 0 {
			return notFollowed(previous, problem)
		}
		candidates = func() []appSource { return followed }
	}
	toUpdate, note := sourcesToUpdate(b.readAnnotations(AnnotationUpdateTargetRevision), candidates, r.Repository)
	if len(toUpdate) > 0 {
		previous = toUpdate[0].revision()
	}
	slot := r.slot(postern.TargetApplication)
	stale := checkStale(b.readAnnotations(AnnotationEventTime), slot, previous, r)
	if stale == nil {
		stale = checkStaleAcrossSlots(b.readAnnotations(AnnotationEventTime), slot, previous, r)
		if stale != nil && len(allSources()) != 1 {
			stale = nil // each repository has its own source
		}
	}
	if stale != nil {
		return *stale
	}
	if isRequested(b.readAnnotations(AnnotationRequestedRef, AnnotationRequestedRevision), r) && allAtRef(toUpdate, r) {
		return unchanged(AnnotationRequestedRef, r.Ref, note).
			withWatermark(app.Annotations, r, AnnotationRequestedRef, slot)
	}
	b.setRequest(r, r.Ref, r.Revision, slot)
	for _, source := range toUpdate {
		b.setTargetRevision(source, r)
	}
	return b.build(previous, note)
}

// setRequest sets the annotations of a request for some slots, and asks Argo CD to refresh.
func (b *patchBuilder) setRequest(r Request, ref, revision string, slots ...string) {
	b.annotateChange(AnnotationRequestedRef, ref)
	b.annotateChange(AnnotationRequestedRevision, revision)
	b.annotate(AnnotationRequestedAt, r.at())
	b.annotate(AnnotationRequestedBy, r.Source)
	b.recordWatermark(r, slots...)
	b.requestRefresh(r.At)
}

// isRequested reports whether the annotations already contain the request.
func isRequested(annotations map[string]string, r Request) bool {
	ref, present := annotations[AnnotationRequestedRef]
	return present && ref == r.Ref &&
		(r.Revision == "" || annotations[AnnotationRequestedRevision] == r.Revision)
}

// requestRefresh asks Argo CD to refresh. A pending hard refresh is kept: it includes the normal one.
func (b *patchBuilder) requestRefresh(at time.Time) {
	refresh := argov1alpha1.RefreshNormal
	if b.annotations[argov1alpha1.AnnotationRefresh] == argov1alpha1.RefreshHard {
		refresh = argov1alpha1.RefreshHard
	}
	b.annotate(argov1alpha1.AnnotationRefresh, refresh)
	b.annotate(argov1alpha1.AnnotationRefreshTimestamp, at.UTC().Format(time.RFC3339Nano))
}

// setTargetRevision sets the targetRevision of a source that was read through b.
func (b *patchBuilder) setTargetRevision(source appSource, r Request) {
	if source.isAtRef(r) {
		return
	}
	b.add(source.path+"/targetRevision", r.Ref)
	b.changes = append(b.changes, Change{
		Field: source.field + ".targetRevision",
		Old:   source.revision(),
		New:   r.Ref,
	})
}

// sourcesToUpdate returns the candidates whose targetRevision is set to a requested ref of a repository. If there are
// none although the owner has set the annotation, note says why.
func sourcesToUpdate(
	annotations map[string]string, candidates func() []appSource, repository string,
) (toUpdate []appSource, note string) {
	wanted, present := annotations[AnnotationUpdateTargetRevision]
	switch {
	case !present:
		return nil, ""
	case wanted != "true":
		return nil, fmt.Sprintf("targetRevision is not changed, because %s is %q and not \"true\"",
			AnnotationUpdateTargetRevision, wanted)
	}
	sources := candidates()
	if len(sources) > maxSources {
		return nil, fmt.Sprintf("targetRevision is not changed, because there are %d sources, more than %d",
			len(sources), maxSources)
	}

	for _, source := range sources {
		if naming.SameRepository(source.RepoURL, repository) {
			toUpdate = append(toUpdate, source)
		}
	}
	switch {
	case len(toUpdate) > 0:
		return toUpdate, ""
	case len(sources) == 1:
		return sources, ""
	case len(sources) == 0:
		return nil, "there is no source whose targetRevision could be set"
	case repository == "":
		return nil, fmt.Sprintf(
			"targetRevision is not changed, because there are %d sources and the request names no repository",
			len(sources))
	}
	return nil, fmt.Sprintf("targetRevision is not changed, because none of the %d sources is %q",
		len(sources), naming.NormalizeRepository(repository))
}
