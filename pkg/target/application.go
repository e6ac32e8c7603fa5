// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/naming"
)

// The annotations that Postern writes to an Application, which has none of its own for a requested ref. They always
// describe one and the same request. A GatewaySync gets only the revision.
const (
	// AnnotationRequestedRef is the requested git ref by its short name, or the reference of the requested image.
	AnnotationRequestedRef = "postern.dev/requested-ref"
	// AnnotationRequestedAt is the time of the request, RFC 3339 in UTC.
	AnnotationRequestedAt = "postern.dev/requested-at"
	// AnnotationRequestedBy is the kind of sender.
	AnnotationRequestedBy = "postern.dev/requested-by"
	// AnnotationRequestedRevision is the commit that the ref pointed at, if the sender gave it. A second push to a
	// branch differs from a repeat by it.
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
	annotations: []string{
		argov1alpha1.AnnotationRefresh, argov1alpha1.AnnotationHydrate, argov1alpha1.AnnotationManifestGeneratePaths,
		annotationTrackingID, iuv1alpha1.AnnotationPrefix,
	},
	labels:       true, // ImageUpdater objects select by them
	owners:       kindApplicationSet,
	imageHandler: (*imageIndex).applicationHandler,
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
		repositories[i] = source.repository()
	}
	return repositories
}

func (applicationKind) follows(obj object, r Request) (bool, error) {
	app := obj.(*argov1alpha1.Application)
	followed, problem := sourcesFollowing(app.Namespace, app.Annotations, sourcesOf(&app.Spec), r)
	return len(followed) > 0, problem
}

func (applicationKind) isUnaffected(obj object, r Request) bool {
	return isUnaffected(obj.(*argov1alpha1.Application), r)
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
	candidates := fromRepository(sources, r)
	var requested string
	if len(candidates) == len(sources) {
		requested = annotations[AnnotationRequestedRef]
	}
	for _, source := range candidates {
		rule := followRule{namespace, annotations, source.revision(), []string{source.revision(), requested}}
		if source.isVersioned() {
			rule.annotations = nil // the owner's constraint is for tags of git
		}
		follows, err := rule.follows(r)
		if !follows {
			source.selects = r.mayBeTag() && source.selectsTag(namespace, r.Ref, requested)
		}
		if follows || source.selects {
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
// requested again unless nothing can be new, since Argo CD must refresh.
func (applicationKind) decide(obj object, r Request, s *planState) decision {
	app := obj.(*argov1alpha1.Application)
	r.IfFollowed = r.onlyIfFollowed()
	b := newPatchBuilder(app.Annotations, r, s)
	b.isReset = generatorOf(app) != ""
	if r.Again {
		return b.refreshAgain(app)
	}
	if r.Image != nil {
		return b.decideImage(app, s.imageConfig(app, r))
	}
	if r.isPullRequest() {
		return b.refusePullRequest()
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
	origin, refused := b.checkGitRef(applicationKind{}, app)
	if refused != nil {
		return *refused
	}
	if r.isCommit() {
		allSources() // the commit is of one of them
	}
	toUpdate, note := sourcesToUpdate(b.readAnnotations(AnnotationUpdateTargetRevision), candidates, r)
	toUpdate, unfit := sourcesTaking(toUpdate, r)
	note = cmp.Or(note, b.keepRanges(app.Namespace, toUpdate), origin)
	if len(toUpdate) > 0 {
		b.previous = toUpdate[0].revision()
	}
	slot := applicationKind{}.gitSlot(r)
	if stale := cmp.Or(b.checkStale(slot), b.checkStaleInOneSource(slot, allSources)); stale != nil {
		return *stale
	}
	if held := b.checkHold(applicationKind{}, app, b.revisionPlaces(slot, toUpdate, allSources)...); held != nil {
		return *held
	}
	b.awaited = awaitedCommit(sourcesOf(&app.Spec), toUpdate, r)
	current := b.readAnnotations(AnnotationRequestedRef, AnnotationRequestedRevision)
	ref, present := current[AnnotationRequestedRef]
	mustMove := func(source appSource) bool { return !source.isAtRef(r) }
	if present && ref == r.Ref && !slices.ContainsFunc(toUpdate, mustMove) &&
		!b.mustRefresh(slot, current[AnnotationRequestedRevision]) {
		return b.unchanged(AnnotationRequestedRef, r.Ref, []string{slot}, note, unfit)
	}
	b.noteWritten(toUpdate, current)
	b.setRequest(app, r.Ref, r.Revision, slot)
	b.moveSources(toUpdate)
	if len(b.changes) == 0 {
		b.changeTime(AnnotationRequestedAt)
	}
	return b.build(note, unfit, managerNote(app, len(toUpdate) > 0))
}

// checkStaleInOneSource is checkStaleAcrossSlots of an Application with one source: several may be of several
// repositories.
func (b *patchBuilder) checkStaleInOneSource(slot string, allSources func() []appSource) *decision {
	stale := b.checkStaleAcrossSlots(slot)
	if stale == nil || len(allSources()) != 1 {
		return nil
	}
	return stale
}

// revisionPlaces returns the fields that a request for a git ref would set. An Application with one source has one
// place for the refs of all repositories.
func (b *patchBuilder) revisionPlaces(
	slot string, toUpdate []appSource, allSources func() []appSource,
) (places []place) {
	slots := []string{slot}
	if len(toUpdate) > 0 && len(allSources()) == 1 {
		for other := range b.watermarks(b.annotations) {
			if other != slot && isGitSlot(other) {
				slots = append(slots, other)
			}
		}
	}
	for _, source := range toUpdate {
		places = append(places, place{
			slots: slots, name: source.field + ".targetRevision", path: source.path + "/targetRevision",
			value: source.revision(),
		})
	}
	return places
}

// noteWritten notes what the sources get, and what they have now: a revision, and the commit that was last requested of
// it.
func (b *patchBuilder) noteWritten(toUpdate []appSource, annotations map[string]string) {
	i := slices.IndexFunc(toUpdate, func(source appSource) bool { return !source.selects })
	if i < 0 {
		return
	}
	source := toUpdate[i]
	b.wrote, b.replaced = b.request.targetRevision(), []string{source.revision()}
	if source.isAtRef(b.request) {
		b.wrote = source.revision()
	}
	commit := annotations[AnnotationRequestedRevision]
	if annotations[AnnotationRequestedRef] == b.request.Ref && commit != b.request.Revision {
		b.replaced = append(b.replaced, commit)
	}
}

// moveSources sets the targetRevision of sources that are not at the requested ref.
func (b *patchBuilder) moveSources(sources []appSource) {
	for _, source := range sources {
		field, path, revision := source.field+".targetRevision", source.path+"/targetRevision", source.revision()
		if !source.isAtRef(b.request) {
			revision = b.request.targetRevision()
			b.add(path, revision)
			b.changes = append(b.changes, Change{field, source.revision(), revision})
		}
		b.holds(field, path, revision)
	}
}

// setRequest sets the annotations of the request for some slots, and asks Argo CD to refresh.
func (b *patchBuilder) setRequest(app *argov1alpha1.Application, ref, revision string, slots ...string) {
	b.holds(AnnotationRequestedRef, annotationPath(AnnotationRequestedRef), ref)
	b.annotateChange(AnnotationRequestedRef, ref)
	b.annotateChange(AnnotationRequestedRevision, revision)
	b.annotate(AnnotationRequestedAt, b.request.at())
	b.annotate(AnnotationRequestedBy, b.request.Source)
	b.recordWatermark(slots...)
	b.refresh(app)
}

// sourcesToUpdate returns the candidates whose targetRevision is set to the requested ref. If there are none although
// the owner has set the annotation, note says why.
func sourcesToUpdate(
	annotations map[string]string, candidates func() []appSource, r Request,
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
	toUpdate = fromRepository(sources, r)
	switch {
	case len(toUpdate) > 0:
		return toUpdate, ""
	case len(sources) == 1:
		return sources, ""
	case len(sources) == 0:
		return nil, "there is no source whose targetRevision could be set"
	case r.Repository == "":
		return nil, fmt.Sprintf(
			"targetRevision is not changed, because there are %d sources and the request names no repository",
			len(sources))
	}
	return nil, fmt.Sprintf("targetRevision is not changed, because none of the %d sources is %q",
		len(sources), naming.NormalizeRepository(r.Repository))
}
