// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"cmp"

	"postern.dev/postern/apis/postern"
	stokerv1alpha1 "postern.dev/postern/apis/stoker/v1alpha1"
)

// DecideGatewaySync returns the changes that a request makes to a GatewaySync. It does not modify sync, which may come
// from a cache.
func DecideGatewaySync(sync *stokerv1alpha1.GatewaySync, r Request) Decision {
	b := newPatchBuilder(sync.Annotations)
	const key = stokerv1alpha1.AnnotationRequestedRef
	requested, present := b.readAnnotations(key)[key]
	previous := cmp.Or(requested, sync.Spec.Git.Ref)
	if r.Image != nil {
		return notHeld(previous, ReasonNotApplicable,
			"a GatewaySync follows a git repository, and the request is for an image")
	}
	if r.IfFollowed {
		annotations := b.readAnnotations(AnnotationFollowTags, key)
		b.test("/spec/git/repo", orNull(sync.Spec.Git.Repo))
		b.test("/spec/git/ref", orNull(sync.Spec.Git.Ref))
		if followed, problem := gitFollows(sync.Namespace, annotations, sync.Spec.Git, r); !followed {
			return notFollowed(previous, problem)
		}
	}
	slot := r.slot(postern.TargetGatewaySync)
	if stale := checkStale(b.readAnnotations(AnnotationEventTime), slot, previous, r); stale != nil {
		return *stale
	}
	if present && requested == r.Ref {
		return unchanged(key, r.Ref).withWatermark(sync.Annotations, r, key, slot)
	}
	b.annotateChange(key, r.Ref)
	b.annotate(stokerv1alpha1.AnnotationRequestedAt, r.at())
	b.annotate(stokerv1alpha1.AnnotationRequestedBy, r.Source)
	b.recordWatermark(r, slot)
	return b.build(previous)
}
