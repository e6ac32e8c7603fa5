// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/Masterminds/semver/v3"
	"k8s.io/apimachinery/pkg/util/sets"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/naming"
)

// Choose returns which of the requests of one delivery, all for git refs, are written to a target that the delivery
// names: their indexes, in order. A target has one ref at a time in each of its slots, but a push may have moved many
// refs, and a payload may list several repositories.
//
// Requests for the target's own repositories come first, then those without a repository. Among these it chooses the
// one that the target tracks or follows, and the last one if there is none.
//
// The write does not test what the choice depends on. So call it after Resolve with live set: the owner's changes
// before the delivery then count, and those after it are as if made after the write.
func (w *Writer) Choose(key postern.TargetKey, requests []Request) []int {
	kind, _ := lookupKind(key.Kind)
	obj, found := w.peek(key)
	if !found {
		return []int{len(requests) - 1} // deleted meanwhile
	}
	return choose(kind, obj, requests)
}

// choose is Choose for at least one request.
func choose(kind targetKind, obj object, requests []Request) []int {
	var best origin
	origins := make([]origin, len(requests))
	own := repositoriesOf(kind, obj)
	for i, r := range requests {
		origins[i] = own.originOf(r)
		best = max(best, origins[i])
	}
	chosen := map[string]int{} // by slot
	for i, r := range requests {
		if origins[i] != best {
			continue
		}
		slot := slotGit
		if best == originOwn {
			slot = kind.gitSlot(r)
		}
		if previous, found := chosen[slot]; !found || !preferred(kind, obj, requests[previous], r) {
			chosen[slot] = i
		}
	}
	indexes := make([]int, 0, len(chosen))
	for _, i := range chosen {
		indexes = append(indexes, i)
	}
	slices.Sort(indexes)
	return indexes
}

// origin is where a request for a git ref comes from. A higher one is preferred.
type origin int

const (
	originForeignCommit origin = iota // of another repository, which the target can't use
	originForeign
	originUnknown
	originOwn
)

// repositorySet has the normalized URLs of the repositories of a target. It is empty if they are unknown, or too many.
type repositorySet sets.Set[string]

func repositoriesOf(kind targetKind, obj object) repositorySet {
	own := sets.New[string]()
	repositories := kind.repositories(obj)
	if len(repositories) > maxSources {
		return repositorySet(own)
	}
	for _, repository := range repositories {
		own.Insert(naming.NormalizeRepository(repository))
	}
	return repositorySet(own.Delete(""))
}

func (own repositorySet) originOf(r Request) origin {
	has := sets.Set[string](own).Has
	switch {
	case r.Repository == "" && r.SSHURL == "" || len(own) == 0:
		return originUnknown
	case has(naming.NormalizeRepository(r.Repository)) || has(naming.NormalizeRepository(r.SSHURL)):
		return originOwn
	case r.isCommit():
		return originForeignCommit
	}
	return originForeign
}

// preferred reports whether a target takes a request rather than a later one of the same delivery: it follows only the
// first, or follows both, and the first is the higher version.
func preferred(kind targetKind, obj object, first, second Request) bool {
	followsFirst, _ := kind.follows(obj, first)
	followsSecond, _ := kind.follows(obj, second)
	if !followsFirst || !followsSecond {
		return followsFirst && !followsSecond
	}
	higher, err := semver.NewVersion(first.Ref)
	if err != nil {
		return false
	}
	lower, err := semver.NewVersion(second.Ref)
	return err == nil && lower.LessThan(higher)
}

// checkGitRef returns the decision about a request for a git ref whose event, or whose repository, is not one that the
// target takes refs of; otherwise nil. note is that of checkOrigin.
func (b *patchBuilder) checkGitRef(kind targetKind, obj object) (note string, refused *decision) {
	if refused := b.checkDeployOn(); refused != nil {
		return "", refused
	}
	return b.checkOrigin(kind, obj)
}

// checkOrigin returns the decision about a request by name for a commit of a repository that the target does not have.
// A branch or tag of such a repository may be meant for it; note then says so.
func (b *patchBuilder) checkOrigin(kind targetKind, obj object) (note string, refused *decision) {
	if b.request.IfFollowed {
		return "", nil
	}
	origin := repositoriesOf(kind, obj).originOf(b.request)
	if origin == originUnknown || origin == originOwn {
		return "", nil
	}
	isOf := fmt.Sprintf("is of %q, which is not a repository of the %s",
		naming.NormalizeRepository(cmp.Or(b.request.Repository, b.request.SSHURL)), kind.resource().kind)
	if origin == originForeignCommit {
		d := b.conclude(ReasonCommitNotAccepted, "the commit "+isOf)
		return "", &d
	}
	return "the ref " + isOf, nil
}
