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
	"postern.dev/postern/pkg/pattern"
)

// AnnotationFollowTags is set by the owner of a target who wants it to follow the
// tags of its repository. The value is a semver constraint, such as ">=1.2, <2":
// https://github.com/Masterminds/semver#checking-version-constraints
const AnnotationFollowTags = "postern.dev/follow-tags"

// maxSources bounds the sources of an Application that are looked at one by one.
const maxSources = 100

// followRule is what a target says of what it follows in one repository.
type followRule struct {
	namespace   string
	annotations map[string]string
	// tracked is the ref in force.
	tracked string
	// heldRefs are the refs that no older version may replace.
	heldRefs []string
}

// follows reports whether a pushed ref is what the target tracks, or a tag that
// its owner wants. The error says why that wish can't be read.
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

// tracksBranch reports whether the tracked ref is the pushed branch. Nothing, and
// HEAD, stand for the repository's default branch.
func tracksBranch(tracked string, r Request) bool {
	if tracked == "" || tracked == "HEAD" {
		return r.DefaultBranch
	}
	return strings.TrimPrefix(tracked, "refs/heads/") == r.Ref
}

// followsTag reports whether a tag meets the constraint and is older than none of
// the refs that are versions: an old release that is tagged again must not roll a
// target back.
func (f followRule) followsTag(constraint, tag string) (bool, error) {
	if len(constraint) > pattern.MaxConstraintBytes { // or the error would repeat it
		return false, fmt.Errorf("%s has %d bytes, which is too long for a semver constraint", AnnotationFollowTags, len(constraint))
	}
	allowed, err := pattern.Constraint(f.namespace, constraint)
	if err != nil {
		return false, fmt.Errorf("%s is %q, which is no semver constraint: %w", AnnotationFollowTags, constraint, err)
	}
	version, err := semver.NewVersion(tag)
	if err != nil || !allowed.Check(version) {
		return false, nil //nolint:nilerr // a tag that is no version is not followed
	}
	for _, ref := range f.heldRefs {
		held, err := semver.NewVersion(strings.TrimPrefix(ref, "refs/tags/"))
		if err == nil && version.LessThan(held) {
			return false, nil
		}
	}
	return true, nil
}

// gatewaySyncFollows reports whether a GatewaySync follows what was pushed.
func gatewaySyncFollows(sync *stokerv1alpha1.GatewaySync, r Request) (bool, error) {
	return gitFollows(sync.Namespace, sync.Annotations, sync.Spec.Git, r)
}

// gitFollows does so by the annotations and the specification. A requested ref
// overrides the specification: what was requested by name stays although the branch
// in there moves.
func gitFollows(namespace string, annotations map[string]string, git stokerv1alpha1.GitSpec, r Request) (bool, error) {
	if !SameRepository(git.Repo, r.Repository) {
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

// applicationFollows reports whether a source of an Application follows what was pushed.
func applicationFollows(app *argov1alpha1.Application, r Request) (bool, error) {
	followed, problem := sourcesFollowing(app.Namespace, app.Annotations, sourcesOf(&app.Spec), r)
	return len(followed) > 0, problem
}

// sourcesFollowing lists those of the sources of an Application that follow what was pushed.
// The requested ref counts only where there is one repository, since it does not
// say of which it is. If none does, the problem may be why that can't be told.
func sourcesFollowing(
	namespace string, annotations map[string]string, sources []appSource, r Request,
) (followed []appSource, problem error) {
	if len(sources) > maxSources {
		return nil, fmt.Errorf("the Application has %d sources, of which at most %d are followed", len(sources), maxSources)
	}
	var requested string
	if allFromRepository(sources, r.Repository) {
		requested = annotations[AnnotationRequestedRef]
	}
	for _, source := range sources {
		if !SameRepository(source.RepoURL, r.Repository) {
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
