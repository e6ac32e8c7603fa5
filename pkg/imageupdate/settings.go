// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
)

// imageEntry is one configured image before defaults are applied, from annotations or an object.
type imageEntry struct {
	alias, image string
	settings     *iuv1alpha1.CommonUpdateSettings
	targets      *iuv1alpha1.ManifestTargets
	verification *iuv1alpha1.ImagesVerification
	problem      string
	// annotationKeys are the annotation keys that the entry was read from.
	annotationKeys []string
}

// defaults are the settings that an entry inherits, most general first.
type defaults struct {
	settings     []*iuv1alpha1.CommonUpdateSettings
	verification []*iuv1alpha1.ImagesVerification
	problem      string
}

// add adds an entry with its inherited settings to the configuration.
func (c *Config) add(e imageEntry, d defaults) {
	if len(e.alias) > maxAlias {
		c.note("%s: the alias has %d bytes, which is too long; at most %d are allowed",
			quoted(e.alias), len(e.alias), maxAlias)
		return
	}
	image := e.read(d)
	if _, err := NormalizeName(image.Name); err != nil {
		c.note("%s: %v", e.alias, err)
		return
	}
	merged := mergeSettings(append(slices.Clip(d.settings), e.settings))
	strategy, known := parseStrategy(deref(merged.UpdateStrategy))
	if !known {
		c.note("%s: unknown strategy %s; semver is used", image.Slot(), quoted(*merged.UpdateStrategy))
	}
	if len(merged.Platforms) > 0 {
		c.note("%s: platforms %s are not checked: a push does not say which platforms it was built for",
			image.Slot(), joinForMessage(merged.Platforms))
	}
	if deref(merged.PullSecret) != "" {
		c.note("%s: the pull secret is not used: Postern does not query registries", image.Slot())
	}
	image.Strategy = strategy
	image.AllowTags = deref(merged.AllowTags)
	image.IgnoreTags = merged.IgnoreTags
	image.Verify = wantsVerification(append(slices.Clip(d.verification), e.verification))
	c.Images = append(c.Images, image)
}

// addOther adds an entry of another image than the pushed one.
func (c *Config) addOther(e imageEntry, d defaults) {
	image := e.read(d)
	if _, err := NormalizeName(image.Name); err == nil && len(e.alias) <= maxAlias {
		c.Others = append(c.Others, image)
	}
}

// read returns the configured image without the settings that select tags.
func (e imageEntry) read(d defaults) ImageConfig {
	name, constraint := splitConstraint(e.image)
	merged := mergeSettings(append(slices.Clip(d.settings), e.settings))
	target, problem := parseManifestTarget(e.targets)
	image := ImageConfig{
		Alias:       e.alias,
		Name:        name,
		Constraint:  constraint,
		ForceUpdate: deref(merged.ForceUpdate),
		Target:      target,
		Problem:     cmp.Or(e.problem, d.problem, problem),
		Annotations: e.annotationKeys,
	}
	switch {
	case len(constraint) > maxConstraint:
		image.Problem = fmt.Sprintf("its constraint has %d bytes, which is too long; at most %d are allowed",
			len(constraint), maxConstraint)
	case strings.HasPrefix(constraint, ","):
		image.Problem = fmt.Sprintf("its constraint %s must follow the name and a colon", quoted(constraint))
	}
	return image
}

func (c *Config) note(format string, args ...any) {
	if len(c.Notes) == maxNotes {
		return
	}
	c.Notes = append(c.Notes, strings.TrimPrefix(fmt.Sprintf(format, args...), ": "))
}

func (c *Config) noteTooManyImages() { c.note("only the first %d images are used", maxImages) }

// joinForMessage lists the first configured values for a message.
func joinForMessage(all []string) string {
	joined := strings.Join(all[:min(len(all), maxJoined)], ", ")
	if len(joined) > maxQuoted {
		return quoted(joined)
	}
	return joined
}

// mergeSettings merges settings field by field; later layers win.
func mergeSettings(layers []*iuv1alpha1.CommonUpdateSettings) iuv1alpha1.CommonUpdateSettings {
	var merged iuv1alpha1.CommonUpdateSettings
	for _, layer := range layers {
		if layer == nil {
			continue
		}
		merged.UpdateStrategy = cmp.Or(layer.UpdateStrategy, merged.UpdateStrategy)
		merged.ForceUpdate = cmp.Or(layer.ForceUpdate, merged.ForceUpdate)
		merged.AllowTags = cmp.Or(layer.AllowTags, merged.AllowTags)
		merged.PullSecret = cmp.Or(layer.PullSecret, merged.PullSecret)
		if layer.IgnoreTags != nil {
			merged.IgnoreTags = layer.IgnoreTags
		}
		if layer.Platforms != nil {
			merged.Platforms = layer.Platforms
		}
	}
	return merged
}

// wantsVerification reports whether signatures are required. The last layer that sets enabled wins; layers without it
// require signatures.
func wantsVerification(layers []*iuv1alpha1.ImagesVerification) bool {
	var enabled *bool
	present := false
	for _, layer := range layers {
		if layer != nil {
			present = true
			enabled = cmp.Or(layer.Enabled, enabled)
		}
	}
	return present && (enabled == nil || *enabled)
}

// parseManifestTarget returns where an image is written, and a problem or "".
func parseManifestTarget(targets *iuv1alpha1.ManifestTargets) (target ManifestTarget, problem string) {
	if targets == nil {
		return ManifestTarget{}, ""
	}
	var all []ManifestTarget
	if k := targets.Kustomize; k != nil {
		all = append(all, ManifestTarget{
			SourceType: argov1alpha1.SourceTypeKustomize,
			Name:       strings.TrimSpace(deref(k.Name)),
		})
	}
	if h := targets.Helm; h != nil {
		all = append(all, newManifestTarget(argov1alpha1.SourceTypeHelm, h.Name, h.Tag, h.Spec))
	}
	if p := targets.Plugin; p != nil {
		all = append(all, newManifestTarget(argov1alpha1.SourceTypePlugin, p.Name, p.Tag, p.Spec))
	}
	switch {
	case len(all) == 0:
		return ManifestTarget{}, ""
	case len(all) > 1:
		return all[0], "it has more than one target; choose one of Kustomize, Helm and plugin"
	}
	return all[0], all[0].problem()
}

// problem returns why the target cannot be written, or "".
func (t ManifestTarget) problem() string {
	switch {
	case t.SourceType == argov1alpha1.SourceTypePlugin && t.Spec == "" && t.Tag == "":
		return "its plugin target names no variable for the tag; set spec, or name and tag"
	case t.SourceType == argov1alpha1.SourceTypeKustomize && strings.ContainsAny(t.Name, "= \t\n"):
		// An entry with this name would be parsed as another one and never be found again.
		return fmt.Sprintf("its Kustomize target is %s, which cannot be the name of an image", quoted(t.Name))
	}
	return ""
}

func newManifestTarget(sourceType string, name, tag, spec *string) ManifestTarget {
	if s := strings.TrimSpace(deref(spec)); s != "" {
		return ManifestTarget{SourceType: sourceType, Spec: s}
	}
	return ManifestTarget{
		SourceType: sourceType,
		Name:       strings.TrimSpace(deref(name)),
		Tag:        strings.TrimSpace(deref(tag)),
	}
}

func deref[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}
