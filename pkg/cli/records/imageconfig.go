// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/cli/story"
	"postern.dev/postern/pkg/imageupdate"
)

// imageConfiguration is what the owner of an Application configured for an image, and what follows from it. It is read
// and decided by the code that the server uses.
type imageConfiguration struct {
	// Origin is where the configuration is.
	Origin string `json:"origin,omitempty"`
	// Aliases are the configured images that the pushed one is of.
	Aliases []aliasDecision `json:"aliases"`
	// Others are other images that are configured.
	Others []string `json:"others,omitempty"`
	// Notes are settings that could not be read or have no effect.
	Notes []string `json:"notes,omitempty"`
}

// aliasDecision is whether a configured image is updated, and why.
type aliasDecision struct {
	Alias  string `json:"alias"`
	Update bool   `json:"update"`
	// UpToDate is whether the Application has the image, or a version that is the same.
	UpToDate bool   `json:"upToDate,omitempty"`
	Reason   string `json:"reason"`
	// Meaning explains the reason, Message says what led to it.
	Meaning string `json:"meaning"`
	Message string `json:"message"`
	// Settings are what the owner configured.
	Settings []string `json:"settings"`
}

// accepts reports whether an alias would be updated or has the image.
func (c *imageConfiguration) accepts() bool {
	return slices.ContainsFunc(c.Aliases, func(a aliasDecision) bool { return a.Update || a.UpToDate })
}

// readConfiguration reads the Application and the objects that configure it. It returns an error if the Application
// does not exist.
func (e *imageExplanation) readConfiguration(
	ctx context.Context, cluster *cli.Cluster, image postern.ImageReference,
) error {
	object, err := cluster.Dynamic.Resource(cli.KindOf(v1alpha1.TargetApplication).Resource).
		Namespace(cluster.Namespace).Get(ctx, e.Application, metav1.GetOptions{})
	switch {
	case apierrors.IsForbidden(err):
		e.Unknown = append(e.Unknown, "you may not read the Application, so its configuration is not explained")
		return nil
	case err != nil:
		return fmt.Errorf("could not read the Application in namespace %s: %w", cluster.Namespace, err)
	}
	app := &argov1alpha1.Application{}
	if err := convert(object.Object, app); err != nil {
		return fmt.Errorf("could not read the Application: %w", err)
	}
	updaters, err := listUpdaters(ctx, cluster)
	if err != nil {
		e.Unknown = append(e.Unknown, "ImageUpdater objects could not be read, so only annotations are explained: "+
			err.Error())
	}
	e.Configuration = explainConfiguration(app, updaters, image)
	return nil
}

// explainConfiguration decides about a pushed image.
func explainConfiguration(
	app *argov1alpha1.Application, updaters []*imageupdate.Updater, image postern.ImageReference,
) *imageConfiguration {
	pushed := imageupdate.Image{Name: image.Name(), Tag: image.Tag, Digest: image.Digest}
	config, _ := imageupdate.ConfigFor(app, updaters)
	others := config.Repositories()
	config = config.ForImage(pushed)
	c := &imageConfiguration{Origin: config.Origin, Aliases: []aliasDecision{}, Notes: config.Notes}
	if len(config.Images) == 0 {
		c.Others = others
		return c
	}
	for i, decision := range imageupdate.PlanFor(app, config, pushed).Decisions {
		c.Aliases = append(c.Aliases, aliasDecision{
			Alias: decision.Slot, Update: decision.Update, Reason: decision.Reason,
			UpToDate: decision.Reason == imageupdate.ReasonUpToDate ||
				decision.Reason == imageupdate.ReasonSameVersion,
			Meaning: story.Meaning(decision.Reason), Message: decision.Message,
			Settings: settingsOf(&config.Images[i]),
		})
	}
	return c
}

// settingsOf returns the settings of an image by their names in annotations.
func settingsOf(image *imageupdate.ImageConfig) []string {
	list := image.Name
	if image.Constraint != "" {
		list += ":" + image.Constraint
	}
	settings := []string{"image-list: " + list, "update-strategy: " + string(image.Strategy)}
	if image.AllowTags != "" {
		settings = append(settings, "allow-tags: "+image.AllowTags)
	}
	if len(image.IgnoreTags) > 0 {
		settings = append(settings, "ignore-tags: "+strings.Join(image.IgnoreTags, ", "))
	}
	if image.ForceUpdate {
		settings = append(settings, "force-update: true")
	}
	return settings
}

// maxUpdaters bounds the ImageUpdater objects that are read, as the server bounds their references.
const maxUpdaters = 5000

// listUpdaters lists the ImageUpdater objects of the namespace.
func listUpdaters(ctx context.Context, cluster *cli.Cluster) ([]*imageupdate.Updater, error) {
	resource := iuv1alpha1.SchemeGroupVersion.WithResource("imageupdaters")
	var updaters []*imageupdate.Updater
	options := metav1.ListOptions{Limit: pageSize}
	for len(updaters) < maxUpdaters {
		page, err := cluster.Dynamic.Resource(resource).Namespace(cluster.Namespace).List(ctx, options)
		if apierrors.IsNotFound(err) { // the kind is not installed
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		for i := range page.Items {
			object := &iuv1alpha1.ImageUpdater{}
			if err := convert(page.Items[i].Object, object); err != nil {
				return nil, err
			}
			updaters = append(updaters, imageupdate.NewUpdater(object))
		}
		if options.Continue = page.GetContinue(); options.Continue == "" {
			return updaters, nil
		}
	}
	return nil, fmt.Errorf("there are more than %d", maxUpdaters)
}

// convert decodes an object as the server does.
func convert(object map[string]any, into any) error {
	encoded, err := json.Marshal(object)
	if err != nil {
		return err
	}
	return json.Unmarshal(encoded, into)
}
