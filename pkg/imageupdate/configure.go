// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"fmt"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
)

// ConfigFor finds the configuration of an Application, among the ImageUpdater
// objects there are (of any namespace) and its own annotations. It is not found
// if the Application does not ask for image updates, and then may hold notes only.
//
// The most specific reference that selects the Application counts, whichever
// object it is in; if it says useAnnotations, the annotations do. A reference that
// says so of an Application without a list of images is passed over, as in Image
// Updater. If no object selects the Application its annotations count by
// themselves, as they did before there were such objects.
//
// Where the objects are more than are looked at, no image can be updated, for what was
// not looked at might forbid it.
func ConfigFor(app *argov1alpha1.Application, updaters []*Updater) (c Config, found bool) {
	return newLook(app, updaters).config("")
}

// ConfigForImage is ConfigFor for one image that was pushed, under whatever tag: what
// it costs does not grow with what is configured of others. A configuration that does
// not name the image has the notes of the whole.
func ConfigForImage(app *argov1alpha1.Application, updaters []*Updater, pushed Image) (c Config, found bool) {
	return newLook(app, updaters).configOf(pushed)
}

// ReadConfigForImage is ConfigForImage, and tells in the configuration what of the
// Application it was read from. It is the same for every Application of that name that
// does not differ in these annotations and labels.
func ReadConfigForImage(app *argov1alpha1.Application, updaters []*Updater, pushed Image) (c Config, found bool) {
	l := newLook(app, updaters)
	l.own.reads = &reads{}
	c, found = l.configOf(pushed)
	c.Annotations, c.Labels = l.own.reads.keys(), l.labels
	return c, found
}

// look is a look for the configuration of an Application.
type look struct {
	app      *argov1alpha1.Application
	updaters []*Updater
	own      annotations
	// labels is whether a selector looked at the Application's labels.
	labels bool
}

func newLook(app *argov1alpha1.Application, updaters []*Updater) *look {
	return &look{app: app, updaters: updaters, own: annotations{of: app.Annotations}}
}

func (l *look) configOf(pushed Image) (c Config, found bool) {
	c, found = l.config(baseName(pushed.Name))
	c = c.Of(pushed)
	if len(c.Images) == 0 {
		c, found = l.config("")
		c.Images = nil
	}
	return c, found
}

// config reads only images with a base name, unless it is empty.
func (l *look) config(only string) (c Config, found bool) {
	c, found = l.chosen(only)
	if problem := problemOf(l.app.Namespace, l.updaters); problem != "" {
		c.Notes = append([]string{problem}, c.Notes...)
		for i := range c.Images {
			c.Images[i].Problem = problem
		}
	}
	return c, found
}

func (l *look) chosen(only string) (c Config, found bool) {
	selections := l.selections()
	for _, s := range selections {
		verification := []*iuv1alpha1.ImagesVerification{s.updater.Spec.ImagesVerification, s.ref.ImagesVerification}
		if deref(s.ref.UseAnnotations) {
			c, found = l.own.config(s.String()+", by annotations", only, verification...)
		} else {
			c, found = s.config(only, verification), true
		}
		if found {
			c.noteRivals(s, selections)
			return c, true
		}
	}
	if len(selections) > 0 {
		return Config{}, false
	}
	return l.own.config("annotations", only)
}

// config reads the configuration in a reference.
func (s *selection) config(only string, verification []*iuv1alpha1.ImagesVerification) Config {
	c := Config{Origin: s.String()}
	for _, writeBack := range []*iuv1alpha1.WriteBackConfig{s.updater.Spec.WriteBackConfig, s.ref.WriteBackConfig} {
		if writeBack != nil && writeBack.Method != nil {
			c.WriteBack = *writeBack.Method
		}
	}
	inherited := defaults{
		settings:     []*iuv1alpha1.CommonUpdateSettings{s.updater.Spec.CommonUpdateSettings, s.ref.CommonUpdateSettings},
		verification: verification,
	}
	for i, image := range s.ref.Images {
		if i == maxImages {
			c.noteSurplus()
			break
		}
		if !isOf(image.ImageName, only) {
			continue
		}
		c.add(entry{
			alias:        image.Alias,
			image:        image.ImageName,
			settings:     image.CommonUpdateSettings,
			targets:      image.ManifestTargets,
			verification: image.ImagesVerification,
		}, inherited)
	}
	return c
}

// noteRivals says which other objects select the Application. Image Updater
// would act on each of them in turn.
func (c *Config) noteRivals(chosen *selection, all []*selection) {
	seen := map[string]bool{chosen.updater.Name: true}
	for _, s := range all {
		if len(c.Notes) == maxNotes {
			return
		}
		if !seen[s.updater.Name] {
			seen[s.updater.Name] = true
			c.note("ImageUpdater %s selects the Application too, less specifically", s.updater.Name)
		}
	}
}

// String names a reference for people.
func (s *selection) String() string {
	return fmt.Sprintf("ImageUpdater %s, applications %s", s.updater.Name, quoted(s.ref.NamePattern))
}
