// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"cmp"

	"postern.dev/postern/apis/postern"
	stokerv1alpha1 "postern.dev/postern/apis/stoker/v1alpha1"
	"postern.dev/postern/pkg/naming"
)

// gatewaySyncKind is the kind of Stoker's GatewaySync.
type gatewaySyncKind struct{}

var gatewaySyncResource = resource{
	kind:                 postern.TargetGatewaySync,
	GroupVersionResource: stokerv1alpha1.SchemeGroupVersion.WithResource(postern.TargetGatewaySync.Resource()),
	addToScheme:          stokerv1alpha1.AddToScheme,
	newObject:            func() object { return &stokerv1alpha1.GatewaySync{} },
	annotations:          []string{"stoker.io/"},
}

func (gatewaySyncKind) resource() *resource { return &gatewaySyncResource }

func (gatewaySyncKind) gitSlot(Request) string { return slotGit }

func (gatewaySyncKind) repositories(obj object) []string {
	return []string{obj.(*stokerv1alpha1.GatewaySync).Spec.Git.Repo}
}

func (gatewaySyncKind) follows(obj object, r Request) (bool, error) {
	sync := obj.(*stokerv1alpha1.GatewaySync)
	return gitFollows(sync.Namespace, sync.Annotations, sync.Spec.Git, r)
}

// gitFollows is follows for the given parts of a GatewaySync. A requested ref overrides the spec: a ref that was
// requested by name stays although the branch in the spec moves.
func gitFollows(namespace string, annotations map[string]string, git stokerv1alpha1.GitSpec, r Request) (bool, error) {
	if !naming.SameRepository(git.Repo, r.Repository) {
		return false, nil
	}
	requested := annotations[stokerv1alpha1.AnnotationRequestedRef]
	return followRule{
		namespace:   namespace,
		annotations: annotations,
		tracked:     cmp.Or(requested, git.Ref),
		heldRefs:    []string{requested, git.Ref},
	}.follows(r)
}

func (gatewaySyncKind) decide(obj object, r Request, s *planState) decision {
	sync := obj.(*stokerv1alpha1.GatewaySync)
	b := newPatchBuilder(sync.Annotations, r, s)
	const key = stokerv1alpha1.AnnotationRequestedRef
	requested, present := b.readAnnotations(key)[key]
	b.previous = cmp.Or(requested, sync.Spec.Git.Ref)
	if r.Image != nil {
		return b.conclude(ReasonNotApplicable, "a GatewaySync follows a git repository, and the request is for an "+
			"image")
	}
	if r.IfFollowed {
		annotations := b.readAnnotations(AnnotationFollowTags, key)
		b.test("/spec/git/repo", orNull(sync.Spec.Git.Repo))
		b.test("/spec/git/ref", orNull(sync.Spec.Git.Ref))
		if followed, problem := gitFollows(sync.Namespace, annotations, sync.Spec.Git, r); !followed {
			return b.notFollowed(problem)
		}
	}
	if stale := b.checkStale(slotGit); stale != nil {
		return *stale
	}
	if present && requested == r.Ref {
		return b.unchanged(key, r.Ref, []string{slotGit})
	}
	b.annotateChange(key, r.Ref)
	b.annotate(stokerv1alpha1.AnnotationRequestedAt, r.at())
	b.annotate(stokerv1alpha1.AnnotationRequestedBy, r.Source)
	b.recordWatermark(slotGit)
	return b.build()
}
