// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"context"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern/v1alpha1"
	stokerv1alpha1 "postern.dev/postern/apis/stoker/v1alpha1"
	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/pattern"
	"postern.dev/postern/pkg/target"
)

// examineConfiguration reports what the owner of the target lets deliveries do.
func (e *examiner) examineConfiguration(ctx context.Context) {
	if e.object == nil {
		return
	}
	if why, held := target.HoldOf(e.object.GetAnnotations()); held {
		e.report(Warning, e.kubectlHere("annotate", e.groupKind(), e.Target.Name, v1alpha1.AnnotationHold+"-"),
			"%s is %q, so deliveries are held. The newest is written once the annotation is removed",
			v1alpha1.AnnotationHold, why)
	}
	convert := runtime.DefaultUnstructuredConverter.FromUnstructured
	var err error
	switch e.Target.Kind {
	case v1alpha1.TargetGatewaySync:
		sync := &stokerv1alpha1.GatewaySync{}
		if err = convert(e.object.Object, sync); err == nil {
			e.examineGatewaySync(sync)
		}
	case v1alpha1.TargetApplication:
		app := &argov1alpha1.Application{}
		if err = convert(e.object.Object, app); err == nil {
			e.examineApplication(ctx, app)
		}
	case v1alpha1.TargetApplicationSet:
		set := &argov1alpha1.ApplicationSet{}
		if err = convert(e.object.Object, set); err == nil {
			e.examineApplicationSet(set)
			return
		}
	}
	if err != nil {
		e.report(Unknown, "", "could not understand %s: %v", e.targetName(), err)
		return
	}
	if events, present := e.object.GetAnnotations()[target.AnnotationDeployOn]; present && !e.sendsImages() {
		e.report(Note, "", "it takes git refs only from the events in %s, %q", target.AnnotationDeployOn, events)
	}
	e.examineFollowTags()
}

func (e *examiner) examineGatewaySync(sync *stokerv1alpha1.GatewaySync) {
	if e.sendsImages() {
		e.report(Fault, "", "%s sends images, which a GatewaySync can't take: it follows a git repository", e.Source)
		return
	}
	tracked := cmp.Or(sync.Annotations[stokerv1alpha1.AnnotationRequestedRef], sync.Spec.Git.Ref)
	e.report(Note, "", "it tracks %s of %s: by its own path it takes any branch or tag, by source pushes of that ref",
		cmp.Or(tracked, "the default branch"), sync.Spec.Git.Repo)
}

func (e *examiner) examineApplication(ctx context.Context, app *argov1alpha1.Application) {
	if len(app.Spec.Sources) == 0 && app.Spec.Source == nil && app.Spec.SourceHydrator == nil {
		e.report(Warning, "", "%s has no source", e.targetName())
	}
	if e.sendsImages() {
		e.examineImages(ctx, app)
		return
	}
	e.reportSources(app)
	if paths := app.Annotations[argov1alpha1.AnnotationManifestGeneratePaths]; paths != "" {
		e.report(Note, "", "by source, a push that changes no file in %s (%s) is skipped",
			argov1alpha1.AnnotationManifestGeneratePaths, paths)
	}
	const optIn = target.AnnotationUpdateTargetRevision
	switch value, present := app.Annotations[optIn]; {
	case value == "true":
		e.report(OK, "", "deliveries of git refs also set targetRevision, since %s is set", optIn)
	case present:
		e.report(Warning, e.annotate(optIn, "true"), "deliveries do not set targetRevision, since %s is %q and not "+
			"\"true\"", optIn, value)
	default:
		e.report(Note, e.annotate(optIn, "true"), "deliveries of git refs make Argo CD refresh it, but do not set "+
			"targetRevision, since %s is not set", optIn)
	}
}

func (e *examiner) examineApplicationSet(set *argov1alpha1.ApplicationSet) {
	followed := target.RepositoriesOf(set)
	switch {
	case e.sendsImages():
		e.report(Fault, "", "%s sends images, which refresh no ApplicationSet", e.Source)
	case len(followed) == 0:
		e.report(Warning, e.annotate(target.AnnotationFollowRepositories, "URLS"), "no generator names a repository: "+
			"by source, nothing refreshes it unless %s lists some", target.AnnotationFollowRepositories)
	default:
		e.report(Note, "", "its generators look at %s: by source, pushes and pull requests there refresh it",
			list(followed))
	}
}

// reportSources reports what the first sources track.
func (e *examiner) reportSources(app *argov1alpha1.Application) {
	const maxReported = 3
	sources := app.Spec.Sources
	switch {
	case app.Spec.SourceHydrator != nil:
		sources = []argov1alpha1.ApplicationSource{app.Spec.SourceHydrator.DrySource}
	case len(sources) == 0 && app.Spec.Source != nil:
		sources = []argov1alpha1.ApplicationSource{*app.Spec.Source}
	}
	for _, source := range sources[:min(len(sources), maxReported)] {
		revision := "the default branch"
		if source.TargetRevision != nil && !isOneOf(*source.TargetRevision, "", "HEAD") {
			revision = *source.TargetRevision
		}
		e.report(Note, "", "it tracks %s of %s: by source it takes pushes of that ref", revision, source.RepoURL)
	}
}

// examineFollowTags checks the owner's constraint for pushed tags.
func (e *examiner) examineFollowTags() {
	constraint, present := e.object.GetAnnotations()[target.AnnotationFollowTags]
	if !present || e.sendsImages() {
		return
	}
	if _, err := pattern.Constraint(e.Namespace, constraint); err != nil {
		e.report(Fault, e.annotate(target.AnnotationFollowTags, "CONSTRAINT"), "%s is %q, which is no constraint of "+
			"semantic versions: %v", target.AnnotationFollowTags, constraint, err)
		return
	}
	e.report(OK, "", "by source it takes pushed tags that meet %s, %q", target.AnnotationFollowTags, constraint)
}

// annotate returns the command that sets an annotation of the target. The value is in quotes, since what a user puts in
// place of a word in capital letters may need them.
func (e *examiner) annotate(key, value string) string {
	quoted := cli.Quote(key + "=" + value)
	if !strings.HasPrefix(quoted, "'") {
		quoted = "'" + quoted + "'"
	}
	return e.kubectlHere("annotate", "--overwrite", e.groupKind(), e.Target.Name) + " " + quoted
}

// groupKind returns the resource of the target with its group, as arguments of kubectl.
func (e *examiner) groupKind() string {
	return cli.KindOf(e.Target.Kind).Resource.GroupResource().String()
}
