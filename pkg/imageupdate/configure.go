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
// if the Application does not ask for image updates.
//
// The most specific reference that selects the Application counts, whichever
// object it is in; if it says useAnnotations, the annotations do. A reference that
// says so of an Application without a list of images is passed over, as in Image
// Updater. If no object selects the Application its annotations count by
// themselves, as they did before there were such objects.
func ConfigFor(app *argov1alpha1.Application, updaters []*iuv1alpha1.ImageUpdater) (c Config, found bool) {
	own := annotations(app.Annotations)
	selections := selectionsOf(app, updaters)
	for _, s := range selections {
		verification := []*iuv1alpha1.ImagesVerification{s.updater.Spec.ImagesVerification, s.ref.ImagesVerification}
		if deref(s.ref.UseAnnotations) {
			c, found = own.config(s.String()+", by annotations", verification...)
		} else {
			c, found = s.config(verification), true
		}
		if found {
			c.noteRivals(s, selections)
			return c, true
		}
	}
	if len(selections) > 0 {
		return Config{}, false
	}
	return own.config("annotations")
}

// config reads the configuration in a reference.
func (s selection) config(verification []*iuv1alpha1.ImagesVerification) Config {
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
	for _, image := range s.ref.Images {
		if c.full() {
			break
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
func (c *Config) noteRivals(chosen selection, all []selection) {
	seen := map[string]bool{chosen.updater.Name: true}
	for _, s := range all {
		if !seen[s.updater.Name] {
			seen[s.updater.Name] = true
			c.note("ImageUpdater %s selects the Application too, less specifically", s.updater.Name)
		}
	}
}

// String names a reference for people.
func (s selection) String() string {
	return fmt.Sprintf("ImageUpdater %s, applications %q", s.updater.Name, s.ref.NamePattern)
}
