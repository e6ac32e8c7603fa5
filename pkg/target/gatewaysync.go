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
	requested, present := sync.Annotations[stokerv1alpha1.AnnotationRequestedRef]
	if present && requested == r.Ref {
		return nothingToDo(stokerv1alpha1.AnnotationRequestedRef, r.Ref)
	}
	d := newDraft(sync.Annotations)
	d.annotateChange(stokerv1alpha1.AnnotationRequestedRef, r.Ref)
	d.annotate(stokerv1alpha1.AnnotationRequestedAt, r.at())
	d.annotate(stokerv1alpha1.AnnotationRequestedBy, r.By)
	return d.decision(cmp.Or(requested, sync.Spec.Git.Ref))
}
