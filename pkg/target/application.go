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
	d := newDraft(app.Annotations)
	previous := d.only(AnnotationRequestedRef)[AnnotationRequestedRef]
	// They are read only where they count: most Applications get the annotations alone.
	all := sync.OnceValue(func() []sourceAt { return d.revisions(&app.Spec) })
	among := all
	if r.IfFollowed {
		followed, problem := sourcesFollowing(app.Namespace, d.only(AnnotationFollowTags, AnnotationRequestedRef), all(), r)
		if len(followed) == 0 {
			return notFollowed(previous, problem)
		}
		among = func() []sourceAt { return followed }
	}
	moved, note := movedSources(d.only(AnnotationUpdateTargetRevision), among, r.Repository)
	if len(moved) > 0 {
		previous = moved[0].revision()
	}
	slot := r.slot(KindApplication)
	late := tooLate(d.only(AnnotationEventTime), slot, previous, r)
	if late == nil {
		if late = overtaken(d.only(AnnotationEventTime), slot, previous, r); late != nil && len(all()) != 1 {
			late = nil // each repository has a source of its own
		}
	}
	if late != nil {
		return *late
	}
	if holds(d.only(AnnotationRequestedRef, AnnotationRequestedRevision), r) && allAt(moved, r) {
		return nothingToDo(AnnotationRequestedRef, r.Ref, note).noteLater(app.Annotations, r, AnnotationRequestedRef, slot)
	}
	d.request(r, r.Ref, r.Revision, slot)
	for _, source := range moved {
		d.move(source, r)
	}
	return d.decision(previous, note)
}

// request writes the annotations that tell of a request for some slots, and asks
// Argo CD to look.
func (d *draft) request(r Request, ref, revision string, slots ...string) {
	d.annotateChange(AnnotationRequestedRef, ref)
	d.annotateChange(AnnotationRequestedRevision, revision)
	d.annotate(AnnotationRequestedAt, r.at())
	d.annotate(AnnotationRequestedBy, r.By)
	d.noteMoment(r, slots...)
	d.refresh(r.At)
}

// holds reports whether the annotations carry the request already.
func holds(annotations map[string]string, r Request) bool {
	ref, present := annotations[AnnotationRequestedRef]
	return present && ref == r.Ref &&
		(r.Revision == "" || annotations[AnnotationRequestedRevision] == r.Revision)
}

// refresh asks Argo CD to look at once. A hard refresh that somebody else asked
// for is kept: it includes the normal one.
func (d *draft) refresh(at time.Time) {
	refresh := argov1alpha1.RefreshNormal
	if d.annotations[argov1alpha1.AnnotationRefresh] == argov1alpha1.RefreshHard {
		refresh = argov1alpha1.RefreshHard
	}
	d.annotate(argov1alpha1.AnnotationRefresh, refresh)
	d.annotate(argov1alpha1.AnnotationRefreshTimestamp, at.UTC().Format(time.RFC3339Nano))
}

// move sets the targetRevision of a source, which was read through the draft.
func (d *draft) move(source sourceAt, r Request) {
	if source.isAt(r) {
		return
	}
	d.add(source.path+"/targetRevision", r.Ref)
	d.changes = append(d.changes, Change{
		Field: source.field + ".targetRevision",
		Old:   source.revision(),
		New:   r.Ref,
	})
}

// movedSources finds those of some sources whose targetRevision is set to what is
// requested of a repository. The note says why there are none although the owner
// seems to want it.
func movedSources(
	annotations map[string]string, candidates func() []sourceAt, repository string,
) (moved []sourceAt, note string) {
	wanted, present := annotations[AnnotationUpdateTargetRevision]
	switch {
	case !present:
		return nil, ""
	case wanted != "true":
		return nil, fmt.Sprintf("targetRevision is left alone, because %s is %q and not \"true\"",
			AnnotationUpdateTargetRevision, wanted)
	}
	among := candidates()
	if len(among) > maxSources {
		return nil, fmt.Sprintf("targetRevision is left alone, because there are %d sources, more than %d", len(among), maxSources)
	}

	for _, source := range among {
		if SameRepository(source.RepoURL, repository) {
			moved = append(moved, source)
		}
	}
	switch {
	case len(moved) > 0:
		return moved, ""
	case len(among) == 1:
		return among, ""
	case len(among) == 0:
		return nil, "there is no source whose targetRevision could be set"
	case repository == "":
		return nil, fmt.Sprintf("targetRevision is left alone, because there are %d sources and the request names no repository",
			len(among))
	}
	return nil, fmt.Sprintf("targetRevision is left alone, because none of the %d sources is %q",
		len(among), NormalizeRepository(repository))
}
