// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"
	"time"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
)

// DecideApplication decides what a request changes in an Application. It does
// not modify the object, which may come from a cache.
//
// A ref that is requested already is requested anew if it points at another
// commit now, since Argo CD must look again.
func DecideApplication(app *argov1alpha1.Application, r Request) Decision {
	followers, note := followingSources(app, r.Repository)
	previous := app.Annotations[AnnotationRequestedRef]
	if len(followers) > 0 {
		previous = followers[0].revision()
	}
	if holds(app, r) && allAt(followers, r.Ref) {
		return nothingToDo(AnnotationRequestedRef, r.Ref, note)
	}

	d := newDraft(app.Annotations)
	d.annotateChange(AnnotationRequestedRef, r.Ref)
	d.annotateChange(AnnotationRequestedRevision, r.Revision)
	d.annotate(AnnotationRequestedAt, r.at())
	d.annotate(AnnotationRequestedBy, r.By)
	d.refresh(r.At)
	if len(followers) > 0 {
		d.testAnnotation(AnnotationUpdateTargetRevision)
	}
	for _, source := range followers {
		d.follow(source, r.Ref)
	}
	return d.decision(previous, note)
}

// holds reports whether the annotations carry the request already.
func holds(app *argov1alpha1.Application, r Request) bool {
	ref, present := app.Annotations[AnnotationRequestedRef]
	return present && ref == r.Ref &&
		(r.Revision == "" || app.Annotations[AnnotationRequestedRevision] == r.Revision)
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

// follow sets the targetRevision of a source, relying on its being the same source.
func (d *draft) follow(source sourceAt, ref string) {
	d.test(source.path+"/repoURL", source.RepoURL)
	if source.TargetRevision == nil {
		d.test(source.path+"/targetRevision", nil)
	} else {
		d.test(source.path+"/targetRevision", *source.TargetRevision)
	}
	if source.revision() == ref {
		return
	}
	d.add(source.path+"/targetRevision", ref)
	d.changes = append(d.changes, Change{
		Field: source.field + ".targetRevision",
		Old:   source.revision(),
		New:   ref,
	})
}

// followingSources finds the sources whose targetRevision follows requests for a
// repository. The note says why there are none although the owner seems to want it.
func followingSources(app *argov1alpha1.Application, repository string) (following []sourceAt, note string) {
	wanted, present := app.Annotations[AnnotationUpdateTargetRevision]
	switch {
	case !present:
		return nil, ""
	case wanted != "true":
		return nil, fmt.Sprintf("targetRevision is left alone, because %s is %q and not \"true\"",
			AnnotationUpdateTargetRevision, wanted)
	}

	all := sourcesOf(&app.Spec)
	for _, source := range all {
		if SameRepository(source.RepoURL, repository) {
			following = append(following, source)
		}
	}
	switch {
	case len(following) > 0:
		return following, ""
	case len(all) == 1:
		return all, ""
	case len(all) == 0:
		return nil, "there is no source whose targetRevision could be set"
	case repository == "":
		return nil, fmt.Sprintf("targetRevision is left alone, because there are %d sources and the request names no repository", len(all))
	}
	return nil, fmt.Sprintf("targetRevision is left alone, because none of the %d sources is %q",
		len(all), NormalizeRepository(repository))
}
