// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"fmt"

	"k8s.io/apimachinery/pkg/labels"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
)

// ConfigFor finds the configuration of an Application in the ImageUpdater objects of all namespaces and in the
// Application's annotations. If found is false, the Application does not request image updates, and the Config may
// contain only notes.
//
// The most specific reference that selects the Application wins, across all objects. If it sets useAnnotations, the
// annotations are used; if the Application then has no list of images, the reference is skipped, as in Image Updater.
// If no object selects the Application, its annotations are used, as before ImageUpdater objects existed.
//
// If the objects exceed the limits, no image can be updated, because an unread reference might forbid it.
func ConfigFor(app *argov1alpha1.Application, updaters []*Updater) (c Config, found bool) {
	return newConfigFinder(app, updaters).config("")
}

// ConfigForImage is ConfigFor for one pushed image, with any tag. Of other images, it reads only what decides where
// they are written. A configuration that does not name the image has the notes of the whole configuration.
func ConfigForImage(app *argov1alpha1.Application, updaters []*Updater, pushed Image) (c Config, found bool) {
	return newConfigFinder(app, updaters).configForImage(pushed)
}

// ReadConfigForImage is ConfigForImage and also reports the annotations and labels that it read. The result is the same
// for every Application of that name with the same values of these annotations and labels.
func ReadConfigForImage(app *argov1alpha1.Application, updaters []*Updater, pushed Image) (c Config, found bool) {
	f := newConfigFinder(app, updaters)
	f.annotations.recorder = &keyRecorder{}
	c, found = f.configForImage(pushed)
	c.Annotations, c.Labels = f.annotations.recorder.keys(), f.labelsRead
	return c, found
}

// configFinder finds the configuration of an Application.
type configFinder struct {
	app         *argov1alpha1.Application
	updaters    []*Updater
	annotations annotations
	// labelsRead is set when a selector reads the Application's labels.
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
		c.Images, c.Others = nil, nil
	}
	return c, found
}

// config reads the images with the base name, or all images if it is empty.
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

// config reads the configuration of a reference.
func (s *appSelector) config(base string, verification []*iuv1alpha1.ImagesVerification) Config {
	c := Config{Origin: s.String()}
	for _, writeBack := range []*iuv1alpha1.WriteBackConfig{s.updater.Spec.WriteBackConfig, s.ref.WriteBackConfig} {
		if writeBack != nil && writeBack.Method != nil {
			c.WriteBack = *writeBack.Method
		}
	}
	inherited := defaults{
		settings: []*iuv1alpha1.CommonUpdateSettings{
			s.updater.Spec.CommonUpdateSettings, s.ref.CommonUpdateSettings,
		},
		verification: verification,
	}
	for i, image := range s.ref.Images {
		if i == maxImages {
			c.noteTooManyImages()
			break
		}
		add := (*Config).add
		if !hasBaseName(image.ImageName, base) {
			add = (*Config).addOther
		}
		add(&c, imageEntry{
			alias:        image.Alias,
			image:        image.ImageName,
			settings:     image.CommonUpdateSettings,
			targets:      image.ManifestTargets,
			verification: image.ImagesVerification,
		}, inherited)
	}
	return c
}

// noteOtherSelectors adds a note for each other object that selects the Application. Image Updater would apply each of
// them in turn.
func (c *Config) noteOtherSelectors(chosen *appSelector, all []*appSelector) {
	seen := map[string]bool{chosen.updater.Name: true}
	for _, s := range all {
		if len(c.Notes) == maxNotes {
			return
		}
		if !seen[s.updater.Name] {
			seen[s.updater.Name] = true
			c.note("ImageUpdater %s also selects the Application, less specifically", s.updater.Name)
		}
	}
}

// String returns the name of the reference for messages.
func (s *appSelector) String() string {
	return fmt.Sprintf("ImageUpdater %s, applications %s", s.updater.Name, quoted(s.ref.NamePattern))
}

// keyRecorder records the keys that were looked up, including absent ones. A nil keyRecorder records nothing.
type keyRecorder struct {
	recorded []string
	known    map[string]bool
}

func (r *keyRecorder) record(key string) {
	if r == nil || r.known[key] {
		return
	}
	if r.known == nil {
		r.known = map[string]bool{}
	}
	r.known[key] = true
	r.recorded = append(r.recorded, key)
}

// child returns a new recorder, or nil if r is nil.
func (r *keyRecorder) child() *keyRecorder {
	if r == nil {
		return nil
	}
	return &keyRecorder{}
}

func (r *keyRecorder) keys() []string {
	if r == nil {
		return nil
	}
	return r.recorded
}

// recordingLabels are labels that record whether any of them is looked up.
type recordingLabels struct {
	labels.Set
	read *bool
}

// Has implements labels.Labels.
func (l recordingLabels) Has(label string) bool {
	*l.read = true
	return l.Set.Has(label)
}

// Get implements labels.Labels.
func (l recordingLabels) Get(label string) string {
	*l.read = true
	return l.Set.Get(label)
}

// Lookup implements labels.Labels.
func (l recordingLabels) Lookup(label string) (value string, exists bool) {
	*l.read = true
	return l.Set.Lookup(label)
}
