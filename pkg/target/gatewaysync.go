// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"cmp"

	stokerv1alpha1 "postern.dev/postern/apis/stoker/v1alpha1"
)

// DecideGatewaySync decides what a request changes in a GatewaySync. It does not
// modify the object, which may come from a cache.
func DecideGatewaySync(sync *stokerv1alpha1.GatewaySync, r Request) Decision {
	b := newPatchBuilder(sync.Annotations)
	requested, present := b.readAnnotations(stokerv1alpha1.AnnotationRequestedRef)[stokerv1alpha1.AnnotationRequestedRef]
	previous := cmp.Or(requested, sync.Spec.Git.Ref)
	if r.Image != nil {
		return notHeld(previous, ReasonNotApplicable, "a GatewaySync runs what is in a git repository, and an image was pushed")
	}
	if r.IfFollowed {
		own := b.readAnnotations(AnnotationFollowTags, stokerv1alpha1.AnnotationRequestedRef)
		b.test("/spec/git/repo", orNull(sync.Spec.Git.Repo))
		b.test("/spec/git/ref", orNull(sync.Spec.Git.Ref))
		if followed, problem := gitFollows(sync.Namespace, own, sync.Spec.Git, r); !followed {
			return notFollowed(previous, problem)
		}
	}
	slot := r.slot(KindGatewaySync)
	if stale := checkStale(b.readAnnotations(AnnotationEventTime), slot, previous, r); stale != nil {
		return *stale
	}
	if present && requested == r.Ref {
		return unchanged(stokerv1alpha1.AnnotationRequestedRef, r.Ref).
			withWatermark(sync.Annotations, r, stokerv1alpha1.AnnotationRequestedRef, slot)
	}
	b.annotateChange(stokerv1alpha1.AnnotationRequestedRef, r.Ref)
	b.annotate(stokerv1alpha1.AnnotationRequestedAt, r.at())
	b.annotate(stokerv1alpha1.AnnotationRequestedBy, r.By)
	b.recordWatermark(r, slot)
	return b.build(previous)
}
