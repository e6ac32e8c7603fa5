// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"cmp"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/naming"
	"postern.dev/postern/pkg/pattern"
)

// AnnotationFollowTags is set by the owner of a target that should follow the tags of its repository. The value is a
// semver constraint, such as ">=1.2, <2": https://github.com/Masterminds/semver#checking-version-constraints
const AnnotationFollowTags = "postern.dev/follow-tags"

// Match is a target that wants a push, or whose owner's configuration is invalid.
type Match struct {
	Key postern.TargetKey
	// Err is why the owner's configuration is invalid; nil if it is not.
	Err error
	// Unaffected is set if the target needs nothing, since the push changed no file that concerns it.
	Unaffected bool
}

// Matches calls Matches of the Writer's cache. A target that is owed a refresh, see RecordOwed, is not Unaffected. It
// returns a panic as an error: the content of a namespace's targets must not end the process.
func (w *Writer) Matches(namespace string, r Request) (matches []Match, err error) {
	defer func() {
		if problem := recover(); problem != nil {
			klog.ErrorS(nil, "Matching targets panicked",
				"namespace", namespace, "panic", problem, "stack", string(debug.Stack()))
			matches, err = nil, errors.New("could not match targets: internal error, see Postern's log")
		}
	}()
	matches, err = w.cache.Matches(namespace, r)
	for i := range matches {
		m := &matches[i]
		m.Unaffected = m.Unaffected && !w.owesRefresh(m.Key, r)
	}
	return matches, err
}

// Matches returns the targets in a namespace that want a push, by kind and name: for an image, the Applications whose
// configuration for image updates names it; for a git ref, the targets that follow it in its repository. Write to them
// with Request.IfFollowed.
//
// It uses indexes, so that unrelated objects do not add to its cost. The error satisfies IsTransient if the cache is
// not synced, or misses changes: a new target may be missing.
func (c *Cache) Matches(namespace string, r Request) ([]Match, error) {
	if c == nil {
		return nil, errNoCache
	}
	if r.Image != nil {
		return c.matchImage(namespace, r.Image.Name())
	}
	if err := c.current(kindNames()...); err != nil {
		return nil, &transientError{err}
	}
	var matches []Match
	for _, kind := range kinds {
		key := postern.TargetKey{Kind: kind.resource().kind, Namespace: namespace}
		found, err := c.fromRepository(key.Kind, namespace, r)
		if err != nil {
			return nil, err
		}
		for name, obj := range found {
			if r.Passed != "" && !deploysOn(obj.GetAnnotations(), r) {
				continue // most targets do not ask for such events
			}
			key.Name = name
			if followed, problem := kind.follows(obj, r); followed || problem != nil {
				matches = append(matches, Match{key, problem, followed && kind.isUnaffected(obj, r)})
			}
		}
	}
	slices.SortFunc(matches, func(a, b Match) int {
		return cmp.Or(cmp.Compare(a.Key.Kind, b.Key.Kind), cmp.Compare(a.Key.Name, b.Key.Name))
	})
	return matches, nil
}

// fromRepository returns the targets of a kind, by name, that name the repository of a request by any of its addresses,
// or every repository.
func (c *Cache) fromRepository(kind postern.TargetKind, namespace string, r Request) (map[string]object, error) {
	found := map[string]object{}
	for _, repository := range append(r.addresses(), anyRepository) {
		items, err := c.kinds[kind].informer.GetIndexer().ByIndex(repositoryIndex, repositoryKey(namespace, repository))
		if err != nil {
			return nil, fmt.Errorf("could not look up %s by repository: %w", kind, err)
		}
		for _, item := range items {
			if obj, ok := item.(object); ok {
				found[obj.GetName()] = obj
			}
		}
	}
	return found, nil
}

func (c *Cache) matchImage(namespace, image string) ([]Match, error) {
	if err := c.current(postern.TargetApplication, imageUpdaterResource.kind); err != nil {
		return nil, &transientError{err}
	}
	names, err := c.images.find(namespace, image)
	if err != nil {
		return nil, err
	}
	matches := make([]Match, len(names))
	for i, name := range names {
		matches[i].Key = postern.TargetKey{Kind: postern.TargetApplication, Namespace: namespace, Name: name}
	}
	return matches, nil
}

// repositoryIndex indexes targets by their git repositories.
const repositoryIndex = "repository"

func repositoryKey(namespace, repository string) string {
	return namespace + "\n" + naming.NormalizeRepository(repository)
}

// indexByRepository returns the cache.IndexFunc of repositoryIndex.
func indexByRepository(kind targetKind) cache.IndexFunc {
	return func(item any) ([]string, error) {
		keys := sets.New[string]() // not a list: there may be thousands of sources
		if obj, ok := item.(object); ok {
			for _, repository := range kind.repositories(obj) {
				keys.Insert(repositoryKey(obj.GetNamespace(), repository))
			}
		}
		return keys.UnsortedList(), nil
	}
}

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
	if r.mayBeBranch() && tracksBranch(f.tracked, r) || r.mayBeTag() && tracksTag(f.tracked, r.Ref) {
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
	return isRef(tracked, r.Ref, postern.RefTypeBranch)
}

// tracksTag reports whether the tracked ref is the pushed tag, which may have moved.
func tracksTag(tracked, tag string) bool {
	return tracked != "HEAD" && isRef(tracked, tag, postern.RefTypeTag)
}

// isRef reports whether a tracked ref, full or short, is the one of a type with a short name. That may look like a full
// name: a tag can be named "refs/heads/main".
func isRef(tracked, short string, t postern.RefType) bool {
	if strings.HasPrefix(tracked, "refs/") {
		return tracked == naming.FullRef(short, t)
	}
	return tracked == short
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
