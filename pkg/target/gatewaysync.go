// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"cmp"
	"fmt"

	"postern.dev/postern/apis/postern"
	stokerv1alpha1 "postern.dev/postern/apis/stoker/v1alpha1"
	"postern.dev/postern/pkg/text"
)

// AnnotationAcceptCommits is set to "true" by the owner of a GatewaySync for which commit ids may be requested. Stoker
// resolves any commit id, but before 0.6.1 its agents clone by the name of a branch or tag.
const AnnotationAcceptCommits = "postern.dev/accept-commits"

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

// isUnaffected is always false: the owner of a GatewaySync can't say which files concern it.
func (gatewaySyncKind) isUnaffected(object, Request) bool { return false }

// gitFollows is follows for the given parts of a GatewaySync. A requested ref overrides the spec: a ref that was
// requested by name stays although the branch in the spec moves.
func gitFollows(namespace string, annotations map[string]string, git stokerv1alpha1.GitSpec, r Request) (bool, error) {
	if !r.isFrom(git.Repo) {
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

// decide sets the annotations. A ref that is already requested is requested again if there is news of it: Stoker
// resolves a branch again only if an annotation changes.
func (gatewaySyncKind) decide(obj object, r Request, s *planState) decision {
	sync := obj.(*stokerv1alpha1.GatewaySync)
	b := newPatchBuilder(sync.Annotations, r, s)
	const key = stokerv1alpha1.AnnotationRequestedRef
	current := b.readAnnotations(key, AnnotationRequestedRevision)
	requested, present := current[key]
	if r.Again {
		return b.unlessHeld(gatewaySyncKind{}, sync, func() decision {
			return b.requestAgain(key, stokerv1alpha1.AnnotationRequestedAt, false, func() {})
		})
	}
	b.previous = cmp.Or(requested, sync.Spec.Git.Ref)
	if r.Image != nil || r.isChart() {
		return b.conclude(ReasonNotApplicable, "a GatewaySync follows a git repository, and the request is for an "+
			"image or a chart")
	}
	if r.isPullRequest() {
		return b.refusePullRequest()
	}
	if r.IfFollowed {
		annotations := b.readAnnotations(AnnotationFollowTags, key)
		b.test("/spec/git/repo", orNull(sync.Spec.Git.Repo))
		b.test("/spec/git/ref", orNull(sync.Spec.Git.Ref))
		if followed, problem := gitFollows(sync.Namespace, annotations, sync.Spec.Git, r); !followed {
			return b.notFollowed(problem)
		}
	}
	note, refused := b.checkGitRef(gatewaySyncKind{}, sync)
	switch {
	case refused != nil:
		return *refused
	case r.isCommit() && b.readAnnotations(AnnotationAcceptCommits)[AnnotationAcceptCommits] != "true":
		return b.conclude(ReasonCommitNotAccepted, fmt.Sprintf("%s is a commit id, which Stoker's agents clone since "+
			"0.6.1 only: request a branch or tag, or set the annotation %s of the GatewaySync to \"true\"",
			text.Quote(r.Ref), AnnotationAcceptCommits))
	case r.isCommit():
		b.test("/spec/git/repo", orNull(sync.Spec.Git.Repo))
	}
	if stale := b.checkStale(slotGit); stale != nil {
		return *stale
	}
	if held := b.checkHold(gatewaySyncKind{}, sync, place{
		slots: []string{slotGit}, name: key, path: annotationPath(key), value: requested,
	}); held != nil {
		return *held
	}
	b.wrote, b.replaced = r.Ref, []string{requested}
	if present && requested == r.Ref && !b.isNews(slotGit, current[AnnotationRequestedRevision]) {
		return b.unchanged(key, r.Ref, []string{slotGit}, note)
	}
	// Stoker removes the annotation once the spec has the ref.
	b.fields = []heldField{{
		Name: key, Path: annotationPath(key), Value: r.Ref, Instead: "/spec/git/ref",
	}}
	b.annotateChange(key, r.Ref)
	b.annotateChange(AnnotationRequestedRevision, r.Revision)
	const at = stokerv1alpha1.AnnotationRequestedAt
	if len(b.changes) == 0 {
		b.changeTime(at)
	}
	b.annotate(at, r.at())
	b.annotate(stokerv1alpha1.AnnotationRequestedBy, r.Source)
	b.recordWatermark(slotGit)
	return b.build(note)
}
