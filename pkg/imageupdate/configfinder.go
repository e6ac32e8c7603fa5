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
	return newConfigFinder(app, updaters).config("")
}

// ConfigForImage is ConfigFor for one image that was pushed, under whatever tag: what
// it costs does not grow with what is configured of others. A configuration that does
// not name the image has the notes of the whole.
func ConfigForImage(app *argov1alpha1.Application, updaters []*Updater, pushed Image) (c Config, found bool) {
	return newConfigFinder(app, updaters).configForImage(pushed)
}

// ReadConfigForImage is ConfigForImage, and tells in the configuration what of the
// Application it was read from. It is the same for every Application of that name that
// does not differ in these annotations and labels.
func ReadConfigForImage(app *argov1alpha1.Application, updaters []*Updater, pushed Image) (c Config, found bool) {
	f := newConfigFinder(app, updaters)
	f.annotations.recorder = &keyRecorder{}
	c, found = f.configForImage(pushed)
	c.Annotations, c.Labels = f.annotations.recorder.keys(), f.labelsRead
	return c, found
}

// configFinder is a look for the configuration of an Application.
type configFinder struct {
	app         *argov1alpha1.Application
	updaters    []*Updater
	annotations annotations
	// labelsRead is whether a selector looked at the Application's labels.
	labelsRead bool
}

func newConfigFinder(app *argov1alpha1.Application, updaters []*Updater) *configFinder {
	return &configFinder{app: app, updaters: updaters, annotations: annotations{values: app.Annotations}}
}

func (f *configFinder) configForImage(pushed Image) (c Config, found bool) {
	c, found = f.config(baseName(pushed.Name))
	c = c.ForImage(pushed)
	if len(c.Images) == 0 {
		c, found = f.config("")
		c.Images = nil
	}
	return c, found
}

// config reads only images with a base name, unless it is empty.
func (f *configFinder) config(base string) (c Config, found bool) {
	c, found = f.mostSpecific(base)
	if problem := checkLimits(f.app.Namespace, f.updaters); problem != "" {
		c.Notes = append([]string{problem}, c.Notes...)
		for i := range c.Images {
			c.Images[i].Problem = problem
		}
	}
	return c, found
}

func (f *configFinder) mostSpecific(base string) (c Config, found bool) {
	selectors := f.matchingSelectors()
	for _, s := range selectors {
		verification := []*iuv1alpha1.ImagesVerification{s.updater.Spec.ImagesVerification, s.ref.ImagesVerification}
		if deref(s.ref.UseAnnotations) {
			c, found = f.annotations.config(s.String()+", by annotations", base, verification...)
		} else {
			c, found = s.config(base, verification), true
		}
		if found {
			c.noteOtherSelectors(s, selectors)
			return c, true
		}
	}
	if len(selectors) > 0 {
		return Config{}, false
	}
	return f.annotations.config("annotations", base)
}

// config reads the configuration in a reference.
func (s *appSelector) config(base string, verification []*iuv1alpha1.ImagesVerification) Config {
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
			c.noteTooManyImages()
			break
		}
		if !hasBaseName(image.ImageName, base) {
			continue
		}
		c.add(imageEntry{
			alias:        image.Alias,
			image:        image.ImageName,
			settings:     image.CommonUpdateSettings,
			targets:      image.ManifestTargets,
			verification: image.ImagesVerification,
		}, inherited)
	}
	return c
}

// noteOtherSelectors says which other objects select the Application. Image Updater
// would act on each of them in turn.
func (c *Config) noteOtherSelectors(chosen *appSelector, all []*appSelector) {
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
func (s *appSelector) String() string {
	return fmt.Sprintf("ImageUpdater %s, applications %s", s.updater.Name, quoted(s.ref.NamePattern))
}
