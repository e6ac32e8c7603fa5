// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"
	"slices"
	"sync"
	"time"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/naming"
)

// The annotations that Postern writes to an Application, which has none of its own for a requested ref. They always
// describe one and the same request.
const (
	// AnnotationRequestedRef is the requested git ref by its short name, or the reference of the requested image.
	AnnotationRequestedRef = "postern.dev/requested-ref"
	// AnnotationRequestedAt is the time of the request, RFC 3339 in UTC.
	AnnotationRequestedAt = "postern.dev/requested-at"
	// AnnotationRequestedBy is the kind of sender.
	AnnotationRequestedBy = "postern.dev/requested-by"
	// AnnotationRequestedRevision is the commit that the ref pointed at, if the sender gave it. Without it a second
	// push to a branch would look like a repeat.
	AnnotationRequestedRevision = "postern.dev/requested-revision"
)

// AnnotationUpdateTargetRevision is set to "true" by the owner of an Application whose targetRevision should follow
// requests.
const AnnotationUpdateTargetRevision = "postern.dev/update-target-revision"

// maxSources bounds the sources of an Application that are examined one by one.
const maxSources = 100

// applicationKind is the kind of Argo CD's Application.
type applicationKind struct{}

var applicationResource = resource{
	kind:                 postern.TargetApplication,
	GroupVersionResource: argov1alpha1.SchemeGroupVersion.WithResource(postern.TargetApplication.Resource()),
	addToScheme:          argov1alpha1.AddToScheme,
	newObject:            func() object { return &argov1alpha1.Application{} },
	annotations:          []string{argov1alpha1.AnnotationRefresh, iuv1alpha1.AnnotationPrefix},
	labels:               true, // ImageUpdater objects select by them
	imageHandler:         (*imageIndex).applicationHandler,
}

func (applicationKind) resource() *resource { return &applicationResource }

// gitSlot returns a slot for each repository: the refs of an Application's repositories do not replace each other.
func (applicationKind) gitSlot(r Request) string {
	if repository := naming.NormalizeRepository(r.Repository); repository != "" {
		return slotGit + "/" + repository
	}
	return slotGit
}

func (applicationKind) repositories(obj object) []string {
	sources := sourcesOf(&obj.(*argov1alpha1.Application).Spec)
	repositories := make([]string, len(sources))
	for i, source := range sources {
		repositories[i] = source.RepoURL
	}
	return repositories
}

func (applicationKind) follows(obj object, r Request) (bool, error) {
	app := obj.(*argov1alpha1.Application)
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
	candidates := fromRepository(sources, r.Repository)
	var requested string
	if len(candidates) == len(sources) {
		requested = annotations[AnnotationRequestedRef]
	}
	for _, source := range candidates {
		rule := followRule{namespace, annotations, source.revision(), []string{source.revision(), requested}}
		follows, err := rule.follows(r)
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

// decide sets the annotations, and the targetRevision if the owner allows it. A ref that is already requested is
// requested again if it points at another commit, since Argo CD must refresh.
func (applicationKind) decide(obj object, r Request, s *planState) decision {
	app := obj.(*argov1alpha1.Application)
	b := newPatchBuilder(app.Annotations, r, s)
	if r.Image != nil {
		return b.decideImage(app, s.imageConfig(app, r))
	}
	b.previous = b.readAnnotations(AnnotationRequestedRef)[AnnotationRequestedRef]
	// Read lazily: most Applications get only the annotations.
	allSources := sync.OnceValue(func() []appSource { return b.readRevisions(&app.Spec) })
	candidates := allSources
	if r.IfFollowed {
		annotations := b.readAnnotations(AnnotationFollowTags, AnnotationRequestedRef)
		followed, problem := sourcesFollowing(app.Namespace, annotations, allSources(), r)
		if len(followed) == 0 {
			return b.notFollowed(problem)
		}
		candidates = func() []appSource { return followed }
	}
	toUpdate, note := sourcesToUpdate(b.readAnnotations(AnnotationUpdateTargetRevision), candidates, r.Repository)
	if len(toUpdate) > 0 {
		b.previous = toUpdate[0].revision()
	}
	slot := applicationKind{}.gitSlot(r)
	if stale := b.checkStale(slot); stale != nil {
		return *stale
	}
	if stale := b.checkStaleAcrossSlots(slot); stale != nil && len(allSources()) == 1 {
		return *stale // several sources may be of several repositories
	}
	current := b.readAnnotations(AnnotationRequestedRef, AnnotationRequestedRevision)
	ref, present := current[AnnotationRequestedRef]
	mustMove := func(source appSource) bool { return !source.isAtRef(r) }
	if present && ref == r.Ref && (r.Revision == "" || current[AnnotationRequestedRevision] == r.Revision) &&
		!slices.ContainsFunc(toUpdate, mustMove) {
		return b.unchanged(AnnotationRequestedRef, r.Ref, []string{slot}, note)
	}
	b.setRequest(r.Ref, r.Revision, slot)
	for _, source := range toUpdate {
		if mustMove(source) {
			b.add(source.path+"/targetRevision", r.Ref)
			b.changes = append(b.changes, Change{source.field + ".targetRevision", source.revision(), r.Ref})
		}
	}
	return b.build(note)
}

// setRequest sets the annotations of the request for some slots, and asks Argo CD to refresh. A pending hard refresh is
// kept: it includes the normal one.
func (b *patchBuilder) setRequest(ref, revision string, slots ...string) {
	b.annotateChange(AnnotationRequestedRef, ref)
	b.annotateChange(AnnotationRequestedRevision, revision)
	b.annotate(AnnotationRequestedAt, b.request.at())
	b.annotate(AnnotationRequestedBy, b.request.Source)
	b.recordWatermark(slots...)
	refresh := argov1alpha1.RefreshNormal
	if b.annotations[argov1alpha1.AnnotationRefresh] == argov1alpha1.RefreshHard {
		refresh = argov1alpha1.RefreshHard
	}
	b.annotate(argov1alpha1.AnnotationRefresh, refresh)
	b.annotate(argov1alpha1.AnnotationRefreshTimestamp, b.request.At.UTC().Format(time.RFC3339Nano))
}

// sourcesToUpdate returns the candidates whose targetRevision is set to a requested ref of a repository. If there are
// none although the owner has set the annotation, note says why.
func sourcesToUpdate(
	annotations map[string]string, candidates func() []appSource, repository string,
) (toUpdate []appSource, note string) {
	wanted, present := annotations[AnnotationUpdateTargetRevision]
	switch {
	case !present:
		return nil, ""
	case wanted != "true":
		return nil, fmt.Sprintf("targetRevision is not changed, because %s is %q and not \"true\"",
			AnnotationUpdateTargetRevision, wanted)
	}
	sources := candidates()
	if len(sources) > maxSources {
		return nil, fmt.Sprintf("targetRevision is not changed, because there are %d sources, more than %d",
			len(sources), maxSources)
	}
	toUpdate = fromRepository(sources, repository)
	switch {
	case len(toUpdate) > 0:
		return toUpdate, ""
	case len(sources) == 1:
		return sources, ""
	case len(sources) == 0:
		return nil, "there is no source whose targetRevision could be set"
	case repository == "":
		return nil, fmt.Sprintf(
			"targetRevision is not changed, because there are %d sources and the request names no repository",
			len(sources))
	}
	return nil, fmt.Sprintf("targetRevision is not changed, because none of the %d sources is %q",
		len(sources), naming.NormalizeRepository(repository))
}

// appSource is a source of an Application and its location.
type appSource struct {
	argov1alpha1.ApplicationSource
	// field is the location as users write it, path is the same as a JSON pointer.
	field, path string
}

// sourcesOf returns the sources that Argo CD uses. Argo CD ignores other sources in the same spec.
func sourcesOf(spec *argov1alpha1.ApplicationSpec) []appSource {
	switch {
	case spec.SourceHydrator != nil:
		return []appSource{{
			spec.SourceHydrator.DrySource, "spec.sourceHydrator.drySource", "/spec/sourceHydrator/drySource",
		}}
	case len(spec.Sources) > 0:
		sources := make([]appSource, len(spec.Sources))
		for i, source := range spec.Sources {
			sources[i] = appSource{source, fmt.Sprintf("spec.sources[%d]", i), fmt.Sprintf("/spec/sources/%d", i)}
		}
		return sources
	case spec.Source != nil:
		return []appSource{{*spec.Source, "spec.source", "/spec/source"}}
	}
	return nil
}

// revision returns the targetRevision; empty if it is absent.
func (s appSource) revision() string {
	if s.TargetRevision == nil {
		return ""
	}
	return *s.TargetRevision
}

// isAtRef reports whether the source is at a requested ref, by that name or an equivalent one: HEAD is not replaced by
// the branch that it stands for.
func (s appSource) isAtRef(r Request) bool {
	return s.revision() == r.Ref || r.mayBeBranch() && tracksBranch(s.revision(), r)
}

// fromRepository returns the sources from a repository.
func fromRepository(sources []appSource, repository string) (found []appSource) {
	for _, source := range sources {
		if naming.SameRepository(source.RepoURL, repository) {
			found = append(found, source)
		}
	}
	return found
}

// readRevisions returns the sources that Argo CD uses, and makes the decision depend on the fields that rules for git
// refs read.
func (b *patchBuilder) readRevisions(spec *argov1alpha1.ApplicationSpec) []appSource {
	sources := b.readSources(spec)
	if len(sources) <= maxSources {
		for _, source := range sources {
			b.test(source.path+"/targetRevision", source.TargetRevision)
		}
	}
	return sources
}

// readSources returns the sources that Argo CD uses, and makes the decision depend on exactly these being there.
func (b *patchBuilder) readSources(spec *argov1alpha1.ApplicationSpec) []appSource {
	sources := sourcesOf(spec)
	if spec.SourceHydrator == nil {
		b.test("/spec/sourceHydrator", nil)
		b.testLength("/spec/sources", spec.Sources)
		if len(sources) == 0 {
			b.test("/spec/source", nil)
		}
	}
	if len(sources) > maxSources {
		return sources // tested as a whole
	}
	for _, source := range sources {
		b.test(source.path+"/repoURL", source.RepoURL)
		// In a list the repository does not identify a source: several directories or charts often share one, and may
		// have changed places.
		if len(spec.Sources) > 0 {
			b.test(source.path+"/path", orNull(source.Path))
			b.test(source.path+"/chart", orNull(source.Chart))
		}
	}
	return sources
}

// testLength makes the decision depend on the number of sources. JSON Patch has no test for that: an appended item is
// at the expected index only if the length is as expected.
func (b *patchBuilder) testLength(path string, list []argov1alpha1.ApplicationSource) {
	switch count := len(list); {
	case list == nil:
		b.test(path, nil)
	case count == 0 || count > maxSources:
		b.addTest(operation{Op: "test", Path: path, Value: list, uncertain: count > 0})
	case !b.tested[path]:
		b.tested[path] = true
		const end = "the end"
		last := fmt.Sprintf("%s/%d", path, count)
		b.tests = append(b.tests,
			operation{Op: "add", Path: path + "/-", Value: end, probe: true},
			operation{Op: "test", Path: last, Value: end, probe: true},
			operation{Op: "remove", Path: last, probe: true})
	}
}
