// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"
	"sync"
	"time"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
)

// DecideApplication decides what a requested git ref changes in an Application. It
// does not modify the object, which may come from a cache.
//
// A ref that is requested already is requested anew if it points at another
// commit now, since Argo CD must look again.
func DecideApplication(app *argov1alpha1.Application, r Request) Decision {
	b := newPatchBuilder(app.Annotations)
	previous := b.readAnnotations(AnnotationRequestedRef)[AnnotationRequestedRef]
	// They are read only where they count: most Applications get the annotations alone.
	allSources := sync.OnceValue(func() []appSource { return b.readRevisions(&app.Spec) })
	candidates := allSources
	if r.IfFollowed {
		followed, problem := sourcesFollowing(app.Namespace, b.readAnnotations(AnnotationFollowTags, AnnotationRequestedRef), allSources(), r)
		if len(followed) == 0 {
			return notFollowed(previous, problem)
		}
		candidates = func() []appSource { return followed }
	}
	toUpdate, note := sourcesToUpdate(b.readAnnotations(AnnotationUpdateTargetRevision), candidates, r.Repository)
	if len(toUpdate) > 0 {
		previous = toUpdate[0].revision()
	}
	slot := r.slot(KindApplication)
	stale := checkStale(b.readAnnotations(AnnotationEventTime), slot, previous, r)
	if stale == nil {
		if stale = checkStaleAcrossSlots(b.readAnnotations(AnnotationEventTime), slot, previous, r); stale != nil && len(allSources()) != 1 {
			stale = nil // each repository has a source of its own
		}
	}
	if stale != nil {
		return *stale
	}
	if isRequested(b.readAnnotations(AnnotationRequestedRef, AnnotationRequestedRevision), r) && allAtRef(toUpdate, r) {
		return unchanged(AnnotationRequestedRef, r.Ref, note).withWatermark(app.Annotations, r, AnnotationRequestedRef, slot)
	}
	b.setRequest(r, r.Ref, r.Revision, slot)
	for _, source := range toUpdate {
		b.setTargetRevision(source, r)
	}
	return b.build(previous, note)
}

// setRequest writes the annotations that tell of a request for some slots, and asks
// Argo CD to look.
func (b *patchBuilder) setRequest(r Request, ref, revision string, slots ...string) {
	b.annotateChange(AnnotationRequestedRef, ref)
	b.annotateChange(AnnotationRequestedRevision, revision)
	b.annotate(AnnotationRequestedAt, r.at())
	b.annotate(AnnotationRequestedBy, r.By)
	b.recordWatermark(r, slots...)
	b.requestRefresh(r.At)
}

// isRequested reports whether the annotations carry the request already.
func isRequested(annotations map[string]string, r Request) bool {
	ref, present := annotations[AnnotationRequestedRef]
	return present && ref == r.Ref &&
		(r.Revision == "" || annotations[AnnotationRequestedRevision] == r.Revision)
}

// requestRefresh asks Argo CD to look at once. A hard refresh that somebody else asked
// for is kept: it includes the normal one.
func (b *patchBuilder) requestRefresh(at time.Time) {
	refresh := argov1alpha1.RefreshNormal
	if b.annotations[argov1alpha1.AnnotationRefresh] == argov1alpha1.RefreshHard {
		refresh = argov1alpha1.RefreshHard
	}
	b.annotate(argov1alpha1.AnnotationRefresh, refresh)
	b.annotate(argov1alpha1.AnnotationRefreshTimestamp, at.UTC().Format(time.RFC3339Nano))
}

// setTargetRevision sets the targetRevision of a source, which was read through the draft.
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

// sourcesToUpdate finds those of some sources whose targetRevision is set to what is
// requested of a repository. The note says why there are none although the owner
// seems to want it.
func sourcesToUpdate(
	annotations map[string]string, candidates func() []appSource, repository string,
) (toUpdate []appSource, note string) {
	wanted, present := annotations[AnnotationUpdateTargetRevision]
	switch {
	case !present:
		return nil, ""
	case wanted != "true":
		return nil, fmt.Sprintf("targetRevision is left alone, because %s is %q and not \"true\"",
			AnnotationUpdateTargetRevision, wanted)
	}
	sources := candidates()
	if len(sources) > maxSources {
		return nil, fmt.Sprintf("targetRevision is left alone, because there are %d sources, more than %d", len(sources), maxSources)
	}

	for _, source := range sources {
		if SameRepository(source.RepoURL, repository) {
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
		return nil, fmt.Sprintf("targetRevision is left alone, because there are %d sources and the request names no repository",
			len(sources))
	}
	return nil, fmt.Sprintf("targetRevision is left alone, because none of the %d sources is %q",
		len(sources), NormalizeRepository(repository))
}
