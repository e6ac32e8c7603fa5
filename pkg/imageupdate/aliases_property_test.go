// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/Masterminds/semver/v3"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
)

// testAlias is a configured image with the oracle of what it may take, which shares no code with the implementation.
type testAlias struct {
	name, image, strategy, constraint, allow, ignore string
	spec                                             bool   // a single Helm parameter has the reference
	set, runs                                        string // tags; set may be empty
}

// expressions and constraints cache what the oracle compiles.
var (
	expressions = map[string]*regexp.Regexp{}
	constraints = map[string]*semver.Constraints{}
)

func cached[T any](cache map[string]T, text string, compile func() T) T {
	compiled, ok := cache[text]
	if !ok {
		compiled = compile()
		cache[text] = compiled
	}
	return compiled
}

// allows reports whether the configuration permits a tag.
func (a testAlias) allows(tag string) bool {
	if a.allow != "" && !cached(expressions, a.allow, func() *regexp.Regexp {
		return regexp.MustCompile(strings.TrimPrefix(a.allow, "regexp:"))
	}).MatchString(tag) {
		return false
	}
	if ignored, _ := path.Match(a.ignore, tag); ignored {
		return false
	}
	switch a.strategy {
	case "digest":
		return tag == a.constraint
	case "semver":
		constraint := a.constraint
		if constraint == "" {
			constraint = "*"
		}
		v, err := semver.NewVersion(tag)
		return err == nil && cached(constraints, constraint, func() *semver.Constraints {
			c, err := semver.NewConstraint(constraint)
			if err != nil {
				panic(err)
			}
			return c
		}).Check(v)
	}
	return true
}

// compare orders allowed tags.
func (a testAlias) compare(x, y string) int {
	if a.strategy == "semver" {
		return semver.MustParse(x).Compare(semver.MustParse(y))
	}
	return strings.Compare(x, y)
}

// highest returns the highest allowed tag, or "".
func (a testAlias) highest(tags ...string) (highest string) {
	for _, tag := range tags {
		if tag != "" && a.allows(tag) && (highest == "" || a.compare(tag, highest) > 0) {
			highest = tag
		}
	}
	return highest
}

// testDeployment is an Application with aliases that Helm or Kustomize renders.
type testDeployment struct {
	tool    string
	aliases []testAlias
}

func (d testDeployment) annotations() map[string]string {
	annotations := map[string]string{}
	var list []string
	for _, a := range d.aliases {
		item := a.name + "=" + a.image
		if a.constraint != "" {
			item += ":" + a.constraint
		}
		list = append(list, item)
		annotations[a.name+".update-strategy"] = a.strategy
		annotations[a.name+".allow-tags"] = a.allow
		annotations[a.name+".ignore-tags"] = a.ignore
		switch {
		case d.tool == argov1alpha1.SourceTypeKustomize:
		case a.spec:
			annotations[a.name+".helm.image-spec"] = a.name + ".spec"
		default:
			annotations[a.name+".helm.image-name"] = a.name + ".name"
			annotations[a.name+".helm.image-tag"] = a.name + ".tag"
		}
	}
	annotations["image-list"] = strings.Join(list, ", ")
	return annotations
}

func (d testDeployment) application() *argov1alpha1.Application {
	app := annotated(d.annotations())
	app.Status.SourceType = d.tool
	var entries []string
	var parameters []argov1alpha1.HelmParameter
	add := func(name, value string) {
		parameters = append(parameters, argov1alpha1.HelmParameter{Name: name, Value: &value})
	}
	for _, a := range d.aliases {
		app.Status.Summary.Images = append(app.Status.Summary.Images, a.image+":"+a.runs)
		switch {
		case a.set == "":
		case d.tool == argov1alpha1.SourceTypeKustomize:
			entries = append(entries, a.image+":"+a.set)
		case a.spec:
			add(a.name+".spec", a.image+":"+a.set)
		default:
			add(a.name+".name", a.image)
			add(a.name+".tag", a.set)
		}
	}
	source := kustomize(entries...)
	if d.tool == argov1alpha1.SourceTypeHelm {
		source = argov1alpha1.ApplicationSource{Helm: &argov1alpha1.ApplicationSourceHelm{Parameters: parameters}}
	}
	app.Spec.Source = &source
	return app
}

// setTag returns the tag, with its digest, that an Application sets for an alias.
func (a testAlias) setTag(app *argov1alpha1.Application) string {
	for _, entry := range deref(app.Spec.Source.Kustomize).Images {
		if version, ok := strings.CutPrefix(entry, a.image+":"); ok {
			return version
		}
	}
	for _, p := range deref(app.Spec.Source.Helm).Parameters {
		switch p.Name {
		case a.name + ".tag":
			return *p.Value
		case a.name + ".spec":
			return strings.TrimPrefix(*p.Value, a.image+":")
		}
	}
	return ""
}

// tag generates tags of several schemes.
func (c generator) tag() string {
	return one(c, one(c, "", "", "v")+fmt.Sprintf("%d.%d.%d", c.IntN(3), c.IntN(3), c.IntN(5))+
		one(c, "", "", "", "-alpine", "-rc.1"), fmt.Sprintf("%d.%d", c.IntN(3), c.IntN(3)),
		one(c, "latest", "main", "20240415", "1532", "stable"))
}

func (c generator) alias(name, image string, strategies ...string) testAlias {
	a := testAlias{
		name:     name,
		image:    image,
		strategy: one(c, strategies...),
		allow:    one(c, "", "", "regexp:^v", "regexp:-alpine$", "regexp:^[0-9]+[.][0-9]+[.][0-9]+$"),
		ignore:   one(c, "", "", "*-alpine", "1.2.*", "latest"),
		spec:     c.IntN(3) == 0,
		runs:     c.tag(),
	}
	switch a.strategy {
	case "semver":
		a.constraint = one(c, "", "", "*-0", "1.x", "~1.2", "2.x", ">=1-0 <2", "^0.1 || 2", ">=1, <2.1")
	case "digest":
		a.constraint = one(c, "latest", "stable", "1.0.0")
	}
	if c.IntN(2) == 0 {
		a.set = one(c, a.runs, c.tag())
	}
	return a
}

// deployment generates an Application with several aliases of a few images. Under Kustomize each has another image.
func (c generator) deployment(strategies ...string) testDeployment {
	d := testDeployment{tool: one(c, argov1alpha1.SourceTypeHelm, argov1alpha1.SourceTypeHelm,
		argov1alpha1.SourceTypeKustomize)}
	images := []string{"ghcr.io/acme/shop", "shop", "ghcr.io/acme/web", "quay.io/acme/shop"}
	for i := range 1 + c.IntN(3) {
		image := one(c, images...)
		if d.tool == argov1alpha1.SourceTypeKustomize {
			image = images[i]
		}
		d.aliases = append(d.aliases, c.alias(fmt.Sprintf("a%d", i), image, strategies...))
	}
	return d
}

func (c generator) pushes(d testDeployment) []Image {
	pushes := make([]Image, 1+c.IntN(6))
	for i := range pushes {
		pushes[i] = Image{Name: one(c, d.aliases...).image, Tag: c.tag(),
			Digest: digests.Replace(one(c, "", "sha256:old", "sha256:new"))}
	}
	return pushes
}

// deliver plans and follows pushes. After each, what was written may also run.
func (c generator) deliver(app *argov1alpha1.Application, d testDeployment, pushes []Image) *argov1alpha1.Application {
	for _, pushed := range pushes {
		config, _ := ConfigForImage(app, nil, pushed)
		app = follow(app, PlanFor(app, config, pushed))
		for i, a := range d.aliases {
			running := &app.Status.Summary.Images[i]
			if tag := a.setTag(app); tag != a.set && c.IntN(3) == 0 && !d.isCompared(app, *running) {
				*running = a.image + ":" + tag
			}
		}
	}
	return app
}

// isCompared reports whether an alias that sets nothing is compared with a running image. An end of that image, which
// may be of another alias, lets an older tag in.
func (d testDeployment) isCompared(app *argov1alpha1.Application, running string) bool {
	return slices.ContainsFunc(d.aliases, func(a testAlias) bool {
		tag, ok := strings.CutPrefix(running, a.image+":")
		set := a.setTag(app)
		return ok && a.allows(tag) && (set == "" || !a.allows(set))
	})
}

// reads removes what is not an alias's business from an Application: other aliases, other images, and tags of its image
// that it may not take.
func (d testDeployment) reads(app *argov1alpha1.Application, a testAlias) *argov1alpha1.Application {
	alone := testDeployment{tool: d.tool, aliases: []testAlias{a}}.application()
	alone.Status.Summary.Images = slices.DeleteFunc(slices.Clone(app.Status.Summary.Images), func(ref string) bool {
		tag, ok := strings.CutPrefix(ref, a.image+":")
		return !ok || !a.allows(tag) && tag != a.runs
	})
	return alone
}

func tagsOf(image string, refs []string) (tags []string) {
	for _, ref := range refs {
		if tag, ok := strings.CutPrefix(ref, image+":"); ok {
			tags = append(tags, tag)
		}
	}
	return tags
}

// TestProperty_AliasEndsAtHighestAllowedTag delivers pushes in two orders.
func TestProperty_AliasEndsAtHighestAllowedTag(t *testing.T) {
	moved, stayed := 0, 0
	repeat(t, 1000, func(c generator) string {
		d := c.deployment("semver", "semver", "alphabetical")
		pushes := c.pushes(d)
		before := d.application()
		after := c.deliver(before, d, pushes)
		shuffled := slices.Clone(pushes)
		c.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		other := c.deliver(before, d, shuffled)
		for _, a := range d.aliases {
			var pushed []string
			for _, p := range pushes {
				if p.Name == a.image {
					pushed = append(pushed, p.Tag)
				}
			}
			baseline := a.highest(a.set)
			if baseline == "" {
				baseline = a.highest(tagsOf(a.image, before.Status.Summary.Images)...)
			}
			candidate := a.highest(pushed...)
			got := a.setTag(after)
			describe := func(problem string) string {
				return fmt.Sprintf("%s: %+v in %+v\npushes %v\nsets %q, expected %q above %q", problem, a, d, pushes,
					got,
					candidate, baseline)
			}
			switch {
			case candidate == "", baseline != "" && a.compare(candidate, baseline) < 0:
				if stayed++; got != a.set {
					return describe("changed for no reason")
				}
			case baseline == "" || a.compare(candidate, baseline) > 0:
				if moved++; !a.allows(got) || a.compare(got, candidate) != 0 {
					return describe("not the highest")
				}
			case got != a.set && (!a.allows(got) || a.compare(got, candidate) != 0):
				return describe("not the same version")
			}
			if reordered := a.setTag(other); got != reordered &&
				(!a.allows(got) || !a.allows(reordered) || a.compare(got, reordered) != 0) {
				return describe(fmt.Sprintf("in the order %v it sets %q", shuffled, reordered))
			}
		}
		return ""
	})
	if moved < 100 || stayed < 100 {
		t.Errorf("only %d aliases moved and %d stayed", moved, stayed)
	}
}

// TestProperty_AliasIsIndependent compares each alias with the same alias alone.
func TestProperty_AliasIsIndependent(t *testing.T) {
	changed := 0
	repeat(t, 1000, func(c generator) string {
		d := c.deployment("semver", "newest-build", "digest", "alphabetical")
		app, pushed := d.application(), c.pushes(d)[0]
		config, _ := ConfigForImage(app, nil, pushed)
		after := follow(app, PlanFor(app, config, pushed))
		for _, a := range d.aliases {
			alone := d.reads(app, a)
			config, _ := ConfigForImage(alone, nil, pushed)
			alone = follow(alone, PlanFor(alone, config, pushed))
			if got, want := a.setTag(after), a.setTag(alone); got != want {
				return fmt.Sprintf("%+v sets %q among others and %q alone: %+v\npushed %s", a, got, want, d, pushed)
			} else if got != a.set {
				changed++
			}
		}
		return ""
	})
	if changed < 100 {
		t.Errorf("only %d aliases changed", changed)
	}
}

// TestProperty_OnlyAllowedTagsAreWrittenOnce also delivers each push a second time.
func TestProperty_OnlyAllowedTagsAreWrittenOnce(t *testing.T) {
	written := 0
	repeat(t, 1000, func(c generator) string {
		d := c.deployment("semver", "newest-build", "digest", "alphabetical")
		app := d.application()
		for _, pushed := range c.pushes(d) {
			config, _ := ConfigForImage(app, nil, pushed)
			after := follow(app, PlanFor(app, config, pushed))
			for _, a := range d.aliases {
				if got := a.setTag(after); got != a.setTag(app) {
					tag, _, _ := strings.Cut(got, "@")
					if written++; !a.allows(tag) || tag != pushed.Tag || a.image != pushed.Name {
						return fmt.Sprintf("%+v sets %q after the push of %s", a, got, pushed)
					}
				}
			}
			if again := PlanFor(after, config, pushed); len(again.Overrides) > 0 {
				return fmt.Sprintf("the second push of %s to %+v writes %+v", pushed, d, again)
			}
			app = after
		}
		return ""
	})
	if written < 100 {
		t.Errorf("only %d tags were written", written)
	}
}

// TestProperty_AnnotationsAreRead guards the properties against aliases whose annotations have no effect.
func TestProperty_AnnotationsAreRead(t *testing.T) {
	d := testDeployment{tool: argov1alpha1.SourceTypeHelm, aliases: []testAlias{{name: "a", image: "shop",
		strategy: "semver", constraint: ">=1, <2", allow: "regexp:^v", ignore: "v1.2.*", spec: true}}}
	config, _ := ConfigFor(d.application(), nil)
	want := ImageConfig{Alias: "a", Name: "shop", Strategy: Semver, Constraint: ">=1, <2", AllowTags: "regexp:^v",
		IgnoreTags: []string{"v1.2.*"}, Target: ManifestTarget{SourceType: "Helm", Spec: "a.spec"}}
	if len(config.Images) != 1 || !config.Images[0].agreesWith(want) {
		t.Errorf("got %+v, want %+v", config.Images, want)
	}
}
