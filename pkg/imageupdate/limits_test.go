// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/pkg/pattern"
)

// aliases returns a list of many aliases of one image, as in the annotation.
func aliases(n int, image string) string {
	var list strings.Builder
	for i := range n {
		fmt.Fprintf(&list, "a%d=%s,", i, image)
	}
	return list.String()
}

func TestConfigFor_BoundsImages(t *testing.T) {
	updater := selecting("many", iuv1alpha1.ApplicationRef{NamePattern: "*"})
	ref := &updater.Spec.ApplicationRefs[0]
	ref.Images = nil
	for i := range 2 * maxImages {
		ref.Images = append(ref.Images, iuv1alpha1.ImageConfig{Alias: fmt.Sprintf("a%d", i), ImageName: "nginx"})
	}
	byAnnotations, _ := ConfigFor(annotated(map[string]string{"image-list": aliases(2*maxImages, "nginx")}), nil)
	byObject, _ := ConfigFor(annotated(nil), parseUpdaters(updater))
	for origin, config := range map[string]Config{"annotations": byAnnotations, "an object": byObject} {
		if len(config.Images) != maxImages || config.Images[maxImages-1].Alias != fmt.Sprintf("a%d", maxImages-1) {
			t.Errorf("by %s: got %d images, want the first %d", origin, len(config.Images), maxImages)
		}
		if diff := cmp.Diff([]string{"only the first 1000 images are used"}, config.Notes); diff != "" {
			t.Errorf("by %s: the notes differ (-want +got):\n%s", origin, diff)
		}
	}

	just, _ := ConfigFor(annotated(map[string]string{"image-list": aliases(maxImages, "nginx")}), nil)
	if len(just.Images) != maxImages || just.Notes != nil {
		t.Errorf("at the limit: got %d images and notes %q", len(just.Images), just.Notes)
	}
	wrong, _ := ConfigFor(annotated(map[string]string{"image-list": aliases(2*maxNotes, "NGINX")}), nil)
	if len(wrong.Notes) != maxNotes {
		t.Errorf("got %d notes, want %d", len(wrong.Notes), maxNotes)
	}
}

func TestPlanFor_BoundsEntriesOfOneImage(t *testing.T) {
	app := annotated(map[string]string{"image-list": aliases(maxImages, "nginx")})
	app.Spec.Source = &argov1alpha1.ApplicationSource{}
	app.Status.SourceType = argov1alpha1.SourceTypeKustomize
	for i := range 100 {
		app.Status.Summary.Images = append(app.Status.Summary.Images, fmt.Sprintf("nginx:9.0.%02d", i))
	}
	config, _ := ConfigFor(app, nil)
	plan := PlanFor(app, config, Image{Name: "docker.io/library/nginx", Tag: "1.0.0"})
	if len(plan.Decisions) != maxEntriesPerImage {
		t.Fatalf("got %d decisions, want %d", len(plan.Decisions), maxEntriesPerImage)
	}
	want := Decision{Slot: "a49", Reason: ReasonOlderVersion,
		Message: "1.0.0 is behind nginx:9.0.00, nginx:9.0.01, nginx:9.0.02, nginx:9.0.03, nginx:9.0.04 and 95 more, " +
			"which is in use"}
	if diff := cmp.Diff(want, plan.Decisions[maxEntriesPerImage-1]); diff != "" {
		t.Errorf("the last decision differs (-want +got):\n%s", diff)
	}
}

// hosts returns an Application that runs nginx 1.0.0, rendered by Kustomize, in the given namespace.
func hosts(namespace string, annotations map[string]string) *argov1alpha1.Application {
	app := annotated(annotations)
	app.Namespace = namespace
	app.Spec.Source = &argov1alpha1.ApplicationSource{}
	app.Status.SourceType = argov1alpha1.SourceTypeKustomize
	app.Status.Summary.Images = []string{"nginx:1.0.0"}
	return app
}

// planned returns the plan for a push of nginx 1.0.1.
func planned(app *argov1alpha1.Application, objects ...*iuv1alpha1.ImageUpdater) Plan {
	pushed := Image{Name: "docker.io/library/nginx", Tag: "1.0.1"}
	config, _ := ConfigForImage(app, parseUpdaters(objects...), pushed)
	return PlanFor(app, config, pushed)
}

func TestLimits_RefusalNamesLimit(t *testing.T) {
	repeated := func(n int, format string) string {
		var all strings.Builder
		for i := range n {
			fmt.Fprintf(&all, format, i)
		}
		return all.String()
	}
	for name, tc := range map[string]struct {
		annotations map[string]string
		change      func(*argov1alpha1.Application)
		want        string // in the message
	}{
		"a long expression": {annotations: map[string]string{
			"a.allow-tags": "regexp:" + strings.Repeat("a{1000}", 3000)},
			want: "1024 are allowed"},
		"a large expression": {
			annotations: map[string]string{"a.allow-tags": "regexp:(a{30}){30}|((b{1,9}){1,9}){1,9}"},
			want:        "too large"},
		"a long text without an expression": {
			annotations: map[string]string{"a.allow-tags": strings.Repeat("é", 100_000)},
			want:        "it must be any"},
		"a long constraint": {annotations: map[string]string{
			"image-list": "b=nginx, a=nginx:" + strings.Repeat(">=1 ", 10_000)},
			want: "256 are allowed"},
		"a long tag to follow": {annotations: map[string]string{
			"image-list":        "b=nginx, a=nginx:" + strings.Repeat("v", 10_000),
			"a.update-strategy": "digest"}, want: "256 are allowed"},
		"many globs": {annotations: map[string]string{"a.ignore-tags": repeated(maxGlobs+1, "x%d,")},
			want: "too many"},
		"a long glob": {annotations: map[string]string{"a.ignore-tags": strings.Repeat("*a", 5000)},
			want: "128 are allowed"},
		"a long force-update": {annotations: map[string]string{"a.force-update": strings.Repeat("yes", 10_000)},
			want: "must be true or false"},
		"many running images": {change: func(app *argov1alpha1.Application) {
			for i := range maxInUse {
				app.Status.Summary.Images = append(app.Status.Summary.Images, fmt.Sprintf("nginx:0.0.%d", i))
			}
		}, want: "in use"},
		"many overrides": {change: func(app *argov1alpha1.Application) {
			app.Spec.Source.Kustomize = &argov1alpha1.ApplicationSourceKustomize{}
			for i := range maxOverrides + 1 {
				app.Spec.Source.Kustomize.Images = append(app.Spec.Source.Kustomize.Images, fmt.Sprintf("x%d:1", i))
			}
		}, want: "too many"},
		"many overrides of one image": {change: func(app *argov1alpha1.Application) {
			app.Spec.Source.Kustomize = &argov1alpha1.ApplicationSourceKustomize{}
			for i := range maxInUse + 1 {
				app.Spec.Source.Kustomize.Images = append(app.Spec.Source.Kustomize.Images,
					fmt.Sprintf("x%d=nginx:1", i))
			}
		}, want: "in use"},
		"many sources": {change: func(app *argov1alpha1.Application) {
			app.Spec.Sources = make([]argov1alpha1.ApplicationSource, maxSources+1)
		}, want: "101 sources"},
	} {
		t.Run(name, func(t *testing.T) {
			annotations := map[string]string{"image-list": "b=nginx, a=nginx"}
			if tc.change == nil { // two places, since the settings differ
				annotations["b.kustomize.image-name"], annotations["a.kustomize.image-name"] = "nginx:1", "nginx:2"
			}
			maps.Copy(annotations, tc.annotations)
			app := hosts("bounds", annotations)
			if tc.change != nil {
				tc.change(app)
			}
			decisions := planned(app).Decisions
			if len(decisions) != 2 {
				t.Fatalf("got the decisions %+v", decisions)
			}
			if d := decisions[1]; d.Update || d.Reason != ReasonInvalidConfiguration ||
				!strings.Contains(d.Message, tc.want) ||
				len(d.Message) > 1500 {
				t.Errorf("got %+v", d)
			}
			if d := decisions[0]; tc.change == nil && !d.Update {
				t.Errorf("the setting of another alias applies to this one: %+v", d)
			}
			if plan := planned(app); tc.change != nil && len(plan.Overrides) > 0 {
				t.Errorf("got the overrides %+v", plan.Overrides)
			}
		})
	}
}

func TestLimits_LongAliasIsIgnored(t *testing.T) {
	plan := planned(hosts("bounds", map[string]string{"image-list": strings.Repeat("a", maxAlias+1) + "=nginx"}))
	if len(plan.Decisions) > 0 {
		t.Errorf("got %+v", plan.Decisions)
	}
}

// TestLimits_PatternsAreCompiledOnChange decides repeatedly, also for copies of the object, as in live reads.
func TestLimits_PatternsAreCompiledOnChange(t *testing.T) {
	annotations := map[string]string{
		"image-list":    aliases(maxEntriesPerImage, "nginx:^1"),
		"allow-tags":    "regexp:^[0-9.]+$",
		"a7.allow-tags": "regexp:^1", "a7.helm.image-spec": "a7",
	}
	app := hosts("compiled-once", annotations)
	app.Status.SourceType = argov1alpha1.SourceTypeHelm
	decided := func() uint64 {
		before := pattern.Compilations()
		for range 20 {
			decisions := planned(app.DeepCopy()).Decisions
			if len(decisions) != maxEntriesPerImage || decisions[7].Reason == ReasonInvalidConfiguration {
				t.Fatalf("got %+v", decisions)
			}
		}
		return pattern.Compilations() - before
	}
	if got := decided(); got != 3 {
		t.Errorf("two expressions and a constraint were compiled %d times", got)
	}
	app.Status.Summary.Images = []string{"nginx:0.9.0"}
	if got := decided(); got != 0 {
		t.Errorf("after a status change, patterns were compiled %d times", got)
	}
	app.Annotations[iuv1alpha1.AnnotationPrefix+"a7.allow-tags"] = "regexp:^1[.]"
	if got := decided(); got != 1 {
		t.Errorf("one changed expression was compiled %d times", got)
	}
}

// TestLimits_DecisionStepsAreBounded makes every alias compare the maximum number of images with the largest allowed
// expression.
func TestLimits_DecisionStepsAreBounded(t *testing.T) {
	annotations := map[string]string{"image-list": aliases(maxEntriesPerImage, "nginx"),
		"update-strategy": "alphabetical"}
	for i := range maxEntriesPerImage {
		annotations[fmt.Sprintf("a%d.allow-tags", i)] = fmt.Sprintf("regexp:(?:.?){480}|%d", i)
	}
	app := hosts("steps", annotations)
	app.Status.Summary.Images = nil
	for i := range maxInUse {
		image := fmt.Sprintf("nginx:%s%02d", strings.Repeat("0", 100), i)
		app.Status.Summary.Images = append(app.Status.Summary.Images, image)
	}
	refused := 0
	for _, d := range planned(app).Decisions {
		switch {
		case d.Update && refused > 0:
			t.Errorf("%s is updated although the budget is exhausted", d.Slot)
		case d.Reason == ReasonInvalidConfiguration && strings.Contains(d.Message, "takes too long"):
			refused++
		}
	}
	if refused < maxEntriesPerImage/2 {
		t.Errorf("%d of %d were refused", refused, maxEntriesPerImage)
	}
}

func TestLimits_BudgetIsNotExceeded(t *testing.T) {
	b := newBudget("steps")
	f, err := newFilter(ImageConfig{AllowTags: "regexp:" + strings.Repeat("(?:a?){90}", 5) + "b",
		IgnoreTags: []string{strings.Repeat("*a", 50) + "b"}}, b)
	if err != nil {
		t.Fatal(err)
	}
	tag, matched := strings.Repeat("a", 128), 0
	for !b.exhausted {
		left := b.remaining
		f.accepts(tag)
		if b.remaining == left && !b.exhausted {
			t.Fatal("a tag costs nothing")
		}
		matched++
	}
	if b.remaining < 0 || matched > maxSteps/(450*128) {
		t.Errorf("%d steps are left after %d tags", b.remaining, matched)
	}
	if b.spend(0) {
		t.Error("spend returned true after the budget was exhausted")
	}
}
