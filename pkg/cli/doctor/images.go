// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/imageupdate"
)

// imageListAnnotation names the images of an Application.
const imageListAnnotation = iuv1alpha1.AnnotationPrefix + "image-list"

// examineImages reports which pushed images an Application takes.
func (e *examiner) examineImages(ctx context.Context, app *argov1alpha1.Application) {
	updaters, err := e.imageUpdaters(ctx)
	if err != nil {
		e.cannotRead("ImageUpdater objects, which may configure images", err)
	}
	config, found := imageupdate.ConfigFor(app, updaters)
	switch isConfigured := found && len(config.Images) > 0; {
	case !isConfigured && err != nil:
		return // by an object, perhaps
	case !isConfigured:
		e.report(Fault, e.annotate(imageListAnnotation, e.pushedImage("IMAGE")),
			"%s takes no pushed image: the annotation %s is not set, and no ImageUpdater selects it",
			e.targetName(), imageListAnnotation)
		return
	}
	const maxReported = 10
	for i, image := range config.Images {
		if i == maxReported {
			e.report(Note, "", "and %d more images", len(config.Images)-maxReported)
			break
		}
		if image.Problem != "" {
			e.report(Fault, "", "the image %s can't be updated: %s", image.Slot(), image.Problem)
			continue
		}
		e.report(Note, "", "it takes %s, by %s", image.Name, describeRule(image))
	}
	for _, note := range config.Notes {
		e.report(Warning, "", "%s", note)
	}
	if strings.HasPrefix(config.WriteBack, "git") {
		e.report(Note, "",
			"its write-back method is git: updates are commits, which Argo CD Image Updater makes. Postern sets only "+
				"annotations")
	}
}

// describeRule returns in words which tags an image accepts.
func describeRule(image imageupdate.ImageConfig) string {
	rule := "the strategy " + string(image.Strategy)
	if image.Constraint != "" {
		rule += fmt.Sprintf(" with the constraint %q", image.Constraint)
	}
	if image.AllowTags != "" {
		rule += fmt.Sprintf(", allow-tags %q", image.AllowTags)
	}
	if len(image.IgnoreTags) > 0 {
		rule += fmt.Sprintf(", ignore-tags %q", strings.Join(image.IgnoreTags, ","))
	}
	if image.ForceUpdate {
		rule += ", also if it does not run"
	}
	return rule
}

// imageUpdaters returns the ImageUpdater objects of the namespace.
func (e *examiner) imageUpdaters(ctx context.Context) ([]*imageupdate.Updater, error) {
	objects, err := e.Dynamic.Resource(iuv1alpha1.SchemeGroupVersion.WithResource("imageupdaters")).
		Namespace(e.Namespace).List(ctx, metav1.ListOptions{Limit: maxListed})
	if apierrors.IsNotFound(err) {
		return nil, nil // the kind is not installed
	}
	if err != nil {
		return nil, err
	}
	var updaters []*imageupdate.Updater
	for i := range objects.Items {
		updater := &iuv1alpha1.ImageUpdater{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(objects.Items[i].Object, updater); err == nil {
			updaters = append(updaters, imageupdate.NewUpdater(updater))
		}
	}
	return updaters, nil
}

// pushedImage returns the image that was delivered last, without a tag, otherwise a word for it.
func (e *examiner) pushedImage(otherwise string) string {
	for i := range e.deliveries {
		for _, event := range e.deliveries[i].Spec.Events {
			if event.Image != nil {
				return cli.ImageName(event.Image)
			}
		}
	}
	return otherwise
}
