// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"slices"
	"time"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
)

// repeatInterval is how long after a request the same one is taken for a repeat, for example of a second webhook for
// the same push. Later it asks again: git may have served the commit only after the first request.
const repeatInterval = 5 * time.Second

// mustRefresh reports whether a request for the git ref that an Application already holds makes Argo CD refresh. It
// does not if it was written before, or if the same commit was requested a moment ago.
func (b *patchBuilder) mustRefresh(slot, heldRevision string) bool {
	return b.isNews(slot, heldRevision) ||
		!b.isRecorded(slot) && (b.request.Revision == "" || !b.isRecent(AnnotationRequestedAt))
}

// isRecent reports whether the time in an annotation is less than repeatInterval before the request.
func (b *patchBuilder) isRecent(key string) bool {
	at, err := time.Parse(time.RFC3339, b.readAnnotations(key)[key])
	age := b.request.At.Sub(at)
	return err == nil && age >= 0 && age < repeatInterval
}

// refresh asks Argo CD to refresh an Application, and its source hydrator to look at the dry source.
func (b *patchBuilder) refresh(app *argov1alpha1.Application) {
	b.ask(argov1alpha1.AnnotationRefresh, argov1alpha1.AnnotationRefreshTimestamp)
	if app.Spec.SourceHydrator == nil {
		b.test("/spec/sourceHydrator", nil)
		return
	}
	b.test("/spec/sourceHydrator/drySource/repoURL", app.Spec.SourceHydrator.DrySource.RepoURL)
	b.ask(argov1alpha1.AnnotationHydrate, argov1alpha1.AnnotationHydrateTimestamp)
}

// ask sets the annotations of a request to Argo CD. A pending hard request is kept: it includes the normal one.
func (b *patchBuilder) ask(key, timestampKey string) {
	kind := argov1alpha1.RefreshNormal
	if b.annotations[key] == argov1alpha1.RefreshHard {
		kind = argov1alpha1.RefreshHard
	}
	b.annotate(key, kind)
	b.annotate(timestampKey, b.request.At.UTC().Format(time.RFC3339Nano))
}

// refreshAgain returns the decision about a repeat of a request to an Application.
func (b *patchBuilder) refreshAgain(app *argov1alpha1.Application) decision {
	if held := b.checkHold(applicationKind{}, app); held != nil {
		return *held
	}
	if revision := b.request.Revision; revision != "" && slices.Contains(comparedRevisions(app), revision) {
		return b.conclude(ReasonAlreadyRequested, "its status shows the commit")
	}
	return b.requestAgain(AnnotationRequestedRef, AnnotationRequestedAt, b.isLatest(app), func() {
		b.refresh(app)
		if key := argov1alpha1.AnnotationRefreshTimestamp; len(b.changes) == 0 {
			at := b.request.At.UTC().Format(time.RFC3339Nano)
			b.changes = append(b.changes, Change{Field: key, Old: b.annotations[key], New: at})
		}
	})
}

// isLatest reports whether the request is the last one in its slot, and none in another slot replaces it. The
// annotations may be of a request in another slot, or reset.
func (b *patchBuilder) isLatest(app *argov1alpha1.Application) bool {
	if b.request.Image != nil {
		return false
	}
	b.testAnnotation(AnnotationEventTime)
	slot := applicationKind{}.gitSlot(b.request)
	last, known := b.last(slot)
	return known && b.request.isOf(last) && (len(sourcesOf(&app.Spec)) > 1 || b.checkStaleAcrossSlots(slot) == nil)
}

// isDescribed reports whether the annotations describe the request, with the ref in refKey.
func (b *patchBuilder) isDescribed(refKey string) bool {
	current, r := b.readAnnotations(refKey, AnnotationRequestedRevision), b.request
	ref, present := current[refKey]
	return present && ref == r.Ref && (r.Revision == "" || r.Revision == current[AnnotationRequestedRevision])
}

// requestAgain returns the decision about a repeat of a request: if the target still holds it, in the annotation refKey
// or because isLatest is set, act does what makes the consumer look again. The time of the request, in the annotation
// atKey, is renewed if the annotations describe the request. Nothing else is changed, so that no repeat brings back
// what was replaced.
func (b *patchBuilder) requestAgain(refKey, atKey string, isLatest bool, act func()) decision {
	b.previous = b.annotations[refKey]
	switch isDescribed := b.isDescribed(refKey); {
	case b.request.Image != nil:
		return b.conclude(ReasonAlreadyRequested, "the repeat of a pushed image changes nothing")
	case !isDescribed && !isLatest:
		return b.conclude(ReasonSuperseded, "the target no longer holds it")
	case b.isRecent(atKey):
		d := b.conclude(ReasonAlreadyRequested, "it was requested a moment ago")
		d.Held = true
		return d
	case isDescribed:
		b.changeTime(atKey)
		b.annotate(atKey, b.request.at())
	}
	act()
	return b.build()
}

// changeTime makes the time of the request, in the annotation atKey, the change of a request for what is held already.
func (b *patchBuilder) changeTime(atKey string) {
	b.changes = append(b.changes, Change{Field: atKey, Old: b.annotations[atKey], New: b.request.at()})
}
