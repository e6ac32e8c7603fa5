// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"strings"
	"testing"
)

func TestPlanFor_RefusesSharedPlace(t *testing.T) {
	const refused = "refused"
	for _, tc := range []struct {
		name        string
		tool, runs  string
		annotations map[string]string
		pushed      string
		want        string // in the message of the first decision; "refused" for any refusal, or empty for an update
	}{
		{"two tags under Kustomize", "Kustomize", "app:dev app:prod", map[string]string{
			"image-list": "one=app:dev, two=app:prod", "update-strategy": "digest"}, "app:dev@sha256:new",
			`"two" is written to the same entry of kustomize.images, "app"`},
		{"two tags that Kustomize distinguishes", "Kustomize", "app:dev app:prod", map[string]string{
			"image-list": "one=app:dev, two=app:prod", "update-strategy": "digest",
			"one.kustomize.image-name": "app:dev", "two.kustomize.image-name": "app:prod"}, "app:dev@sha256:new", ""},
		{"an entry for all tags, too", "Kustomize", "app:dev app:prod", map[string]string{
			"image-list": "one=app:dev, two=app:prod", "update-strategy": "digest",
			"one.kustomize.image-name": "app:dev"}, "app:dev@sha256:new", `"two"`},
		{"one image twice", "Kustomize", "app:1.0.0", map[string]string{"image-list": "a=app:1.x, b=app:1.x"},
			"app:1.1.0", ""},
		{"one image under two rules", "Kustomize", "app:1.0.0", map[string]string{"image-list": "a=app:1.x, b=app"},
			"app:1.1.0", `"b"`},
		{"two images under Kustomize", "Kustomize", "app:1.0.0 web:1.0.0", map[string]string{"image-list": "app, web"},
			"app:1.1.0", ""},
		{"two images for one name", "Kustomize", "app:1.0.0 web:1.0.0", map[string]string{
			"image-list": "app, b=web", "b.kustomize.image-name": "docker.io/library/app"}, "app:1.1.0", `"b"`},
		{"the default parameters", "Helm", "app:1.0.0 web:1.0.0", map[string]string{"image-list": "app, web"},
			"app:1.1.0", `"web" is written to the same parameter of spec.source, "image.tag"`},
		{"the default parameters of an image that does not run", "Helm", "app:1.0.0",
			map[string]string{"image-list": "app, web"}, "app:1.1.0", ""},
		{"the default parameters of an image that is forced", "Helm", "app:1.0.0",
			map[string]string{"image-list": "app, b=web", "b.force-update": "true"}, "app:1.1.0", `"b"`},
		{"one image in two lines", "Helm", "app:1.0.0 app:2.0.0", map[string]string{
			"image-list": "a=app:1.x, b=app:2.x", "a.helm.image-tag": "a", "b.helm.image-tag": "b"}, "app:1.1.0", ""},
		{"two images with one name", "Helm", "app:1.0.0 web:2.0.0", map[string]string{
			"image-list": "a=app:1.x, b=web:2.x", "a.helm.image-tag": "a", "b.helm.image-tag": "b"}, "app:1.1.0",
			`"image.name"`},
		{"one's name is the other's tag", "Helm", "app:1.0.0 web:2.0.0", map[string]string{
			"image-list": "a=app, b=web", "a.helm.image-name": "x", "b.helm.image-name": "y", "b.helm.image-tag": "x"},
			"app:1.1.0", `"x"`},
		{"one's reference is the other's tag", "Helm", "app:1.0.0 web:2.0.0", map[string]string{
			"image-list": "a=app, b=web", "a.helm.image-spec": "image.tag"}, "app:1.1.0", `"image.tag"`},
		{"a push that neither takes", "Helm", "app:1.0.0 web:1.0.0", map[string]string{"image-list": "app, web"},
			"app:0.9.0", refused},
	} {
		t.Run(tc.name, func(t *testing.T) {
			app := annotated(tc.annotations)
			source := kustomize()
			source.Kustomize = nil
			app.Spec.Source = &source
			app.Status.SourceType = tc.tool
			app.Status.Summary.Images = strings.Fields(tc.runs)
			pushed := image(t, tc.pushed)
			for name, read := range map[string]func() Config{
				"ConfigFor":      func() Config { c, _ := ConfigFor(app, nil); return c },
				"ConfigForImage": func() Config { c, _ := ConfigForImage(app, nil, pushed); return c },
			} {
				plan := PlanFor(app, read(), pushed)
				d := plan.Decisions[0]
				switch {
				case tc.want == "":
					if !d.Update {
						t.Errorf("%s: got %+v", name, d)
					}
				case len(plan.Overrides) > 0:
					t.Errorf("%s: %+v is written", name, plan.Overrides)
				case tc.want != refused &&
					(d.Reason != ReasonInvalidConfiguration || !strings.Contains(d.Message, tc.want)):
					t.Errorf("%s: got %+v, want %s", name, d, tc.want)
				}
			}
		})
	}
}
