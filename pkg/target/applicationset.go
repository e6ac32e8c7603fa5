// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern"
)

// AnnotationFollowRepositories is set by the owner of an ApplicationSet whose generators look at repositories that its
// specification does not name: by templates, an organization or a plugin. The value lists URLs, separated by spaces or
// commas. Every push and every pull request of these repositories refreshes the ApplicationSet; "*" is every
// repository.
const AnnotationFollowRepositories = "postern.dev/follow-repositories"

// anyRepository stands for the repositories of generators that do not say which they look at.
const anyRepository = "*"

// applicationSetKind is the kind of Argo CD's ApplicationSet. A request makes Argo CD run its generators. It holds no
// ref, so requests have no order, and none replaces another.
type applicationSetKind struct{}

var applicationSetResource = resource{
	kind:                 postern.TargetApplicationSet,
	GroupVersionResource: argov1alpha1.SchemeGroupVersion.WithResource(postern.TargetApplicationSet.Resource()),
	addToScheme:          argov1alpha1.AddToScheme,
	newObject:            func() object { return &argov1alpha1.ApplicationSet{} },
	annotations:          []string{argov1alpha1.AnnotationApplicationSetRefresh},
}

func (applicationSetKind) resource() *resource { return &applicationSetResource }

func (applicationSetKind) gitSlot(Request) string { return noSlot }

func (applicationSetKind) repositories(obj object) (repositories []string) {
	set := obj.(*argov1alpha1.ApplicationSet)
	for _, g := range generatorsOf(&set.Spec) {
		repositories = append(repositories, g.repositories...)
	}
	listed, _ := followedRepositories(set)
	return append(repositories, listed...)
}

// RepositoriesOf returns the repositories that an ApplicationSet looks at; "*" is every one.
func RepositoriesOf(set *argov1alpha1.ApplicationSet) []string {
	return applicationSetKind{}.repositories(set)
}

func (applicationSetKind) follows(obj object, r Request) (bool, error) {
	if r.isChart() {
		return false, nil
	}
	set := obj.(*argov1alpha1.ApplicationSet)
	wants := func(g generator) bool { return g.wants(set.Namespace, r) }
	if slices.ContainsFunc(generatorsOf(&set.Spec), wants) {
		return true, nil
	}
	listed, problem := followedRepositories(set)
	return r.isFromAny(listed), problem
}

// isUnaffected is always false: as in Argo CD, every push of a branch that a generator looks at runs it.
func (applicationSetKind) isUnaffected(object, Request) bool { return false }

// followedRepositories returns the repositories in the annotation of an ApplicationSet. The error says why there are
// none.
func followedRepositories(set *argov1alpha1.ApplicationSet) ([]string, error) {
	value := set.Annotations[AnnotationFollowRepositories]
	if len(value) > maxFollowedBytes {
		return nil, fmt.Errorf("%s has %d bytes; at most %d are supported",
			AnnotationFollowRepositories, len(value), maxFollowedBytes)
	}
	return strings.FieldsFunc(value, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }), nil
}

// maxFollowedBytes bounds AnnotationFollowRepositories.
const maxFollowedBytes = 4 << 10

// isFromAny reports whether a push or a pull request is of one of some repositories.
func (r Request) isFromAny(repositories []string) bool {
	return slices.ContainsFunc(repositories, func(repository string) bool {
		return repository == anyRepository || r.isFrom(repository)
	})
}

// decide sets the annotation that asks for a refresh. If it is there already, Argo CD may have looked at git before the
// push, and may fail for a cause that the push mends. So its value always changes, which makes Argo CD reconcile again,
// and keeps it from removing a request that it has not seen.
func (applicationSetKind) decide(obj object, r Request, s *planState) decision {
	set := obj.(*argov1alpha1.ApplicationSet)
	b := newPatchBuilder(set.Annotations, r, s)
	if r.Image != nil || r.isChart() {
		return b.conclude(ReasonNotApplicable, "an ApplicationSet is refreshed for a git ref or a pull request, and "+
			"the request is for an image or a chart")
	}
	if refused := b.checkDeployOn(); refused != nil {
		return *refused
	}
	if r.IfFollowed {
		if unwanted := b.checkWanted(set); unwanted != nil {
			return *unwanted
		}
	}
	if held := b.checkHold(applicationSetKind{}, set); held != nil {
		return *held
	}
	const key = argov1alpha1.AnnotationApplicationSetRefresh
	pending := b.readAnnotations(key)[key]
	if at, isOurs := refreshTime(pending); r.Again && isOurs && r.At.Sub(at).Abs() < repeatInterval {
		d := b.conclude(ReasonAlreadyRequested, "it was requested a moment ago")
		d.Held = true
		return d
	}
	b.annotateChange(key, r.At.UTC().Format(time.RFC3339Nano))
	return b.build()
}

// refreshTime returns when a refresh was requested by the value of the annotation. isOurs is false if the value is not
// one that decide writes.
func refreshTime(value string) (at time.Time, isOurs bool) {
	at, err := time.Parse(time.RFC3339Nano, value)
	return at, err == nil
}

// checkWanted returns the decision about a request that an ApplicationSet does not want; otherwise nil. A write depends
// on the generator, or the annotation, that wants the request.
func (b *patchBuilder) checkWanted(set *argov1alpha1.ApplicationSet) *decision {
	for _, g := range generatorsOf(&set.Spec) {
		if g.wants(set.Namespace, b.request) {
			for _, read := range g.reads {
				b.test(g.path+read.path, read.value)
			}
			return nil
		}
	}
	b.testAnnotation(AnnotationFollowRepositories)
	listed, problem := followedRepositories(set)
	if b.request.isFromAny(listed) {
		return nil
	}
	d := b.notFollowed(problem)
	return &d
}
