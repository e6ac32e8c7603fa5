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
	d := newDraft(sync.Annotations)
	requested, present := d.only(stokerv1alpha1.AnnotationRequestedRef)[stokerv1alpha1.AnnotationRequestedRef]
	previous := cmp.Or(requested, sync.Spec.Git.Ref)
	if r.Image != nil {
		return leftAlone(previous, ReasonNotApplicable, "a GatewaySync runs what is in a git repository, and an image was pushed")
	}
	if r.IfFollowed {
		own := d.only(AnnotationFollowTags, stokerv1alpha1.AnnotationRequestedRef)
		d.test("/spec/git/repo", orNull(sync.Spec.Git.Repo))
		d.test("/spec/git/ref", orNull(sync.Spec.Git.Ref))
		if followed, problem := gitFollows(sync.Namespace, own, sync.Spec.Git, r); !followed {
			return notFollowed(previous, problem)
		}
	}
	slot := r.slot(KindGatewaySync)
	if late := tooLate(d.only(AnnotationEventTime), slot, previous, r); late != nil {
		return *late
	}
	if present && requested == r.Ref {
		return nothingToDo(stokerv1alpha1.AnnotationRequestedRef, r.Ref).
			noteLater(sync.Annotations, r, stokerv1alpha1.AnnotationRequestedRef, slot)
	}
	d.annotateChange(stokerv1alpha1.AnnotationRequestedRef, r.Ref)
	d.annotate(stokerv1alpha1.AnnotationRequestedAt, r.at())
	d.annotate(stokerv1alpha1.AnnotationRequestedBy, r.By)
	d.noteMoment(r, slot)
	return d.decision(previous)
}
