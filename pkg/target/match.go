// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"cmp"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/klog/v2"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	stokerv1alpha1 "postern.dev/postern/apis/stoker/v1alpha1"
)

// errNoCache is the answer to what only a cache knows.
var errNoCache = errors.New("what targets want is known only with a cache")

// Match is a target that wants what was pushed, or one of which that can't be told.
type Match struct {
	Key Key
	// Err is why the owner's wish can't be read; nil if it can.
	Err error
}

// Matches returns the targets in a namespace that want what was pushed, in order
// of kind and name: for an image, the Applications whose configuration for image
// updates names it; for a git ref, what follows it in its repository. Write to
// them with Request.IfFollowed.
//
// It looks into indexes, so its cost does not grow with the number of objects that
// have nothing to do with the push. The error satisfies IsTransient if the cache is
// not filled yet, or does not follow changes: a new target may be missing.
func (c *Cache) Matches(namespace string, r Request) ([]Match, error) {
	if c == nil {
		return nil, errNoCache
	}
	if r.Image != nil {
		return c.matchImage(namespace, r.Image.Name)
	}
	if err := c.current(Kinds()...); err != nil {
		return nil, &transientError{err}
	}
	var matches []Match
	for _, kind := range Kinds() {
		found, err := c.kinds[kind].matchRef(namespace, r)
		if err != nil {
			return nil, err
		}
		matches = append(matches, found...)
	}
	slices.SortFunc(matches, func(a, b Match) int {
		return cmp.Or(cmp.Compare(a.Key.Kind, b.Key.Kind), cmp.Compare(a.Key.Name, b.Key.Name))
	})
	return matches, nil
}

// Matches is Cache.Matches of the Writer's cache. A panic becomes an error: whatever the targets of a namespace hold must not
// end the process.
func (w *Writer) Matches(namespace string, r Request) (matches []Match, err error) {
	defer func() {
		if problem := recover(); problem != nil {
			klog.ErrorS(nil, "Finding targets panicked", "namespace", namespace, "panic", problem, "stack", string(debug.Stack()))
			matches, err = nil, errors.New("could not find the targets: a mistake in Postern, see its log")
		}
	}()
	return w.cache.Matches(namespace, r)
}

func (c *Cache) matchImage(namespace, image string) ([]Match, error) {
	if err := c.current(KindApplication, kindImageUpdater); err != nil {
		return nil, &transientError{err}
	}
	names, err := c.images.find(namespace, image)
	if err != nil {
		return nil, err
	}
	matches := make([]Match, 0, len(names))
	for _, name := range names {
		matches = append(matches, Match{Key: Key{Kind: KindApplication, Namespace: namespace, Name: name}})
	}
	return matches, nil
}

// matchRef finds the objects of one kind that follow a git ref.
func (k *cachedKind) matchRef(namespace string, r Request) ([]Match, error) {
	found, err := k.informer.GetIndexer().ByIndex(repositoryIndex, repositoryKey(namespace, r.Repository))
	if err != nil {
		return nil, fmt.Errorf("could not look up %s by repository: %w", k.kind, err)
	}
	var matches []Match
	for _, obj := range found {
		var name string
		var followed bool
		var problem error
		switch obj := obj.(type) {
		case *stokerv1alpha1.GatewaySync:
			name = obj.Name
			followed, problem = gatewaySyncFollows(obj, r)
		case *argov1alpha1.Application:
			name = obj.Name
			followed, problem = applicationFollows(obj, r)
		}
		if followed || problem != nil {
			matches = append(matches, Match{Key{Kind: k.kind, Namespace: namespace, Name: name}, problem})
		}
	}
	return matches, nil
}

// repositoryIndex is the index of targets by the git repositories that they use.
const repositoryIndex = "repository"

func repositoryKey(namespace, repository string) string {
	return namespace + "\n" + NormalizeRepository(repository)
}

// indexByRepository returns the keys of an object in that index.
func indexByRepository(obj any) ([]string, error) {
	switch obj := obj.(type) {
	case *stokerv1alpha1.GatewaySync:
		return []string{repositoryKey(obj.Namespace, obj.Spec.Git.Repo)}, nil
	case *argov1alpha1.Application:
		keys := sets.New[string]() // a list would take long to search if there are thousands
		for _, source := range sourcesOf(&obj.Spec) {
			keys.Insert(repositoryKey(obj.Namespace, source.RepoURL))
		}
		return keys.UnsortedList(), nil
	}
	return nil, nil // nothing else uses one
}
