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
	"postern.dev/postern/apis/postern"
	stokerv1alpha1 "postern.dev/postern/apis/stoker/v1alpha1"
	"postern.dev/postern/pkg/naming"
)

// errNoCache is the error of a nil Cache.
var errNoCache = errors.New("targets can be matched only with a cache")

// Match is a target that wants a push, or whose owner's configuration is invalid.
type Match struct {
	Key postern.TargetKey
	// Err is why the owner's configuration is invalid; nil if it is not.
	Err error
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

// Matches calls Matches of the Writer's cache. It returns a panic as an error: the content of a namespace's targets must not
// end the process.
func (w *Writer) Matches(namespace string, r Request) (matches []Match, err error) {
	defer func() {
		if problem := recover(); problem != nil {
			klog.ErrorS(nil, "Matching targets panicked", "namespace", namespace, "panic", problem, "stack", string(debug.Stack()))
			matches, err = nil, errors.New("could not match targets: internal error, see Postern's log")
		}
	}()
	return w.cache.Matches(namespace, r)
}

func (c *Cache) matchImage(namespace, image string) ([]Match, error) {
	if err := c.current(postern.TargetApplication, kindImageUpdater); err != nil {
		return nil, &transientError{err}
	}
	names, err := c.images.find(namespace, image)
	if err != nil {
		return nil, err
	}
	matches := make([]Match, 0, len(names))
	for _, name := range names {
		matches = append(matches, Match{Key: postern.TargetKey{Kind: postern.TargetApplication, Namespace: namespace, Name: name}})
	}
	return matches, nil
}

// matchRef returns the objects of one kind that follow a git ref, or whose configuration is invalid.
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
			matches = append(matches, Match{postern.TargetKey{Kind: k.kind, Namespace: namespace, Name: name}, problem})
		}
	}
	return matches, nil
}

// repositoryIndex indexes targets by their git repositories.
const repositoryIndex = "repository"

func repositoryKey(namespace, repository string) string {
	return namespace + "\n" + naming.NormalizeRepository(repository)
}

// indexByRepository is the cache.IndexFunc of repositoryIndex.
func indexByRepository(obj any) ([]string, error) {
	switch obj := obj.(type) {
	case *stokerv1alpha1.GatewaySync:
		return []string{repositoryKey(obj.Namespace, obj.Spec.Git.Repo)}, nil
	case *argov1alpha1.Application:
		keys := sets.New[string]() // not a list: there may be thousands of sources
		for _, source := range sourcesOf(&obj.Spec) {
			keys.Insert(repositoryKey(obj.Namespace, source.RepoURL))
		}
		return keys.UnsortedList(), nil
	}
	return nil, nil // other kinds have no repository
}
