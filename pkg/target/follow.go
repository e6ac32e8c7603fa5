// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	stokerv1alpha1 "postern.dev/postern/apis/stoker/v1alpha1"
	"postern.dev/postern/pkg/naming"
	"postern.dev/postern/pkg/pattern"
)

// AnnotationFollowTags is set by the owner of a target that should follow the tags of its repository. The value is a
// semver constraint, such as ">=1.2, <2": https://github.com/Masterminds/semver#checking-version-constraints
const AnnotationFollowTags = "postern.dev/follow-tags"

// maxSources bounds the sources of an Application that are examined one by one.
const maxSources = 100

// followRule describes what a target follows in one repository.
type followRule struct {
	namespace   string
	annotations map[string]string
	// tracked is the ref in effect.
	tracked string
	// heldRefs are the refs that no older version may replace.
	heldRefs []string
}

// follows reports whether the target tracks the pushed ref, or the owner's constraint allows the pushed tag. The error
// says why the constraint is invalid.
func (f followRule) follows(r Request) (bool, error) {
	if r.mayBeBranch() && tracksBranch(f.tracked, r) {
		return true, nil
	}
	constraint, wanted := f.annotations[AnnotationFollowTags]
	if !wanted || !r.mayBeTag() {
		return false, nil
	}
	return f.followsTag(constraint, r.Ref)
}

// tracksBranch reports whether the tracked ref is the pushed branch. An empty ref and HEAD mean the repository's
// default branch.
func tracksBranch(tracked string, r Request) bool {
	if tracked == "" || tracked == "HEAD" {
		return r.DefaultBranch
	}
	return strings.TrimPrefix(tracked, "refs/heads/") == r.Ref
}

// followsTag reports whether a tag meets the constraint and is not older than a held ref that is a version: an old
// release that is tagged again must not roll a target back.
func (f followRule) followsTag(constraint, tag string) (bool, error) {
	if len(constraint) > pattern.MaxConstraintBytes { // the error would repeat it
		return false, fmt.Errorf("%s has %d bytes, which is too long for a semver constraint",
			AnnotationFollowTags, len(constraint))
	}
	allowed, err := pattern.Constraint(f.namespace, constraint)
	if err != nil {
		return false, fmt.Errorf("%s is %q, which is not a semver constraint: %w",
			AnnotationFollowTags, constraint, err)
	}
	version, err := semver.NewVersion(tag)
	if err != nil || !allowed.Check(version) {
		return false, nil //nolint:nilerr // a tag that is not a version is not followed
	}
	for _, ref := range f.heldRefs {
		held, err := semver.NewVersion(strings.TrimPrefix(ref, "refs/tags/"))
		if err == nil && version.LessThan(held) {
			return false, nil
		}
	}
	return true, nil
}

// gatewaySyncFollows reports whether a GatewaySync follows a pushed ref.
func gatewaySyncFollows(sync *stokerv1alpha1.GatewaySync, r Request) (bool, error) {
	return gitFollows(sync.Namespace, sync.Annotations, sync.Spec.Git, r)
}

// gitFollows is gatewaySyncFollows for the given parts of one. A requested ref overrides the spec: a ref that was
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

// applicationFollows reports whether a source of an Application follows a pushed ref.
func applicationFollows(app *argov1alpha1.Application, r Request) (bool, error) {
	followed, problem := sourcesFollowing(app.Namespace, app.Annotations, sourcesOf(&app.Spec), r)
	return len(followed) > 0, problem
}

// sourcesFollowing returns the sources of an Application that follow a pushed ref. The requested ref does not name its
// repository, so it is considered only if all sources have the same one. If no source follows, problem may say why that
// can't be decided.
func sourcesFollowing(
	namespace string, annotations map[string]string, sources []appSource, r Request,
) (followed []appSource, problem error) {
	if len(sources) > maxSources {
		return nil, fmt.Errorf("the Application has %d sources; at most %d are supported", len(sources), maxSources)
	}
	var requested string
	if allFromRepository(sources, r.Repository) {
		requested = annotations[AnnotationRequestedRef]
	}
	for _, source := range sources {
		if !naming.SameRepository(source.RepoURL, r.Repository) {
			continue
		}
		f := followRule{namespace, annotations, source.revision(), []string{source.revision(), requested}}
		follows, err := f.follows(r)
		if follows {
			followed = append(followed, source)
		}
		problem = err
	}
	if len(followed) > 0 {
		return followed, nil
	}
	return nil, problem
}
