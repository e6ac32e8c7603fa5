// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
)

func TestPlanFor_HelmParameters(t *testing.T) {
	param := func(name, value string) argov1alpha1.HelmParameter {
		return argov1alpha1.HelmParameter{Name: name, Value: &value, ForceString: new(true)}
	}
	spec := ManifestTarget{SourceType: "Helm", Spec: "image"}
	for _, tc := range []struct {
		name   string
		target ManifestTarget
		before []argov1alpha1.HelmParameter
		reason string
		after  []argov1alpha1.HelmParameter
	}{
		{"a tag alone is of the configured image", ManifestTarget{},
			[]argov1alpha1.HelmParameter{param("image.tag", "1.2.0")}, ReasonOlderVersion, nil},
		{"a tag of another image", ManifestTarget{},
			[]argov1alpha1.HelmParameter{param("image.name", "other"), param("image.tag", "1.2.0")},
			ReasonReplacesImage,
			[]argov1alpha1.HelmParameter{param("image.name", "shop"), param("image.tag", "1.1.0")}},
		{"a name alone says nothing", ManifestTarget{},
			[]argov1alpha1.HelmParameter{param("image.name", "shop")}, ReasonNewerVersion,
			[]argov1alpha1.HelmParameter{param("image.name", "shop"), param("image.tag", "1.1.0")}},
		{"a parameter twice is set twice", ManifestTarget{},
			[]argov1alpha1.HelmParameter{param("image.tag", "1.2.0"), param("image.tag", "1.0.0")}, ReasonNewerVersion,
			[]argov1alpha1.HelmParameter{param("image.tag", "1.1.0"), param("image.tag", "1.1.0"),
				param("image.name", "shop")}},
		{"a tag that is none cannot be compared", ManifestTarget{},
			[]argov1alpha1.HelmParameter{param("image.tag", "$ARGOCD_APP_REVISION")}, ReasonInvalidConfiguration, nil},
		{"an empty tag says nothing", ManifestTarget{},
			[]argov1alpha1.HelmParameter{param("image.tag", " ")}, ReasonNewerVersion,
			[]argov1alpha1.HelmParameter{param("image.tag", "1.1.0"), param("image.name", "shop")}},
		{"a whole reference that is none cannot be compared", spec,
			[]argov1alpha1.HelmParameter{param("image", "shop:${TAG}")}, ReasonInvalidConfiguration, nil},
		{"another spelling stays", ManifestTarget{},
			[]argov1alpha1.HelmParameter{param("image.name", "library/shop"), param("image.tag", "1.0.0")},
			ReasonNewerVersion,
			[]argov1alpha1.HelmParameter{param("image.name", "library/shop"), param("image.tag", "1.1.0")}},
		{"a pinned tag", ManifestTarget{},
			[]argov1alpha1.HelmParameter{param("image.tag", digests.Replace("1.1.0@sha256:old"))}, ReasonUpToDate, nil},
		{"a whole reference", spec,
			[]argov1alpha1.HelmParameter{param("image", "docker.io/library/shop:1.0.0")}, ReasonNewerVersion,
			[]argov1alpha1.HelmParameter{param("image", "docker.io/library/shop:1.1.0")}},
		{"a whole reference that is newer", spec,
			[]argov1alpha1.HelmParameter{param("image", "shop:1.2.0"), param("image.tag", "1.0.0")}, ReasonOlderVersion,
			nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			app := running("Helm", argov1alpha1.ApplicationSource{
				Helm: &argov1alpha1.ApplicationSourceHelm{Parameters: tc.before}}, "shop:1.0.0")
			config := semverOf("shop")
			config.Images[0].Target = tc.target
			plan := PlanFor(app, config, Image{Name: "shop", Tag: "1.1.0"})
			if got := plan.Decisions[0].Reason; got != tc.reason {
				t.Errorf("the reason is %s, want %s", got, tc.reason)
			}
			var got []argov1alpha1.HelmParameter
			if len(plan.Overrides) > 0 {
				got = plan.Overrides[0].After.([]argov1alpha1.HelmParameter)
			}
			if diff := cmp.Diff(tc.after, got); diff != "" {
				t.Errorf("the parameters differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlanFor_RegistryIsAnotherParameter(t *testing.T) {
	for _, tc := range []struct {
		name         string
		running      string
		force        bool
		target       ManifestTarget
		before       map[string]string
		pushed       string
		reason       string
		field, after string
	}{
		{"the name stays", "ghcr.io/path/api:v1.0.0", false, ManifestTarget{},
			map[string]string{"image.name": "path/api", "image.tag": "v1.0.0"}, "v1.0.1",
			ReasonNewerVersion, "image.name", "path/api"},
		{"its last part stays", "ghcr.io/path/api:v1.0.0", false, ManifestTarget{},
			map[string]string{"image.name": "api", "image.tag": "v1.0.0"}, "v1.0.1",
			ReasonNewerVersion, "image.name", "api"},
		{"a reference stays", "ghcr.io/path/api:v1.0.0", false, ManifestTarget{SourceType: "Helm", Spec: "image"},
			map[string]string{"image": "path/api:v1.0.0"}, "v1.0.1", ReasonNewerVersion, "image", "path/api:v1.0.1"},
		{"what is set is compared, not what still runs", "ghcr.io/path/api:v1.0.0", false, ManifestTarget{},
			map[string]string{"image.name": "path/api", "image.tag": "v1.0.2"}, "v1.0.1", ReasonOlderVersion, "", ""},
		{"not reported to run", "other:1", true, ManifestTarget{},
			map[string]string{"image.name": "path/api", "image.tag": "v1.0.0"}, "v1.0.1",
			ReasonNewerVersion, "image.name", "path/api"},
		{"another image of that name runs", "path/api:v1.0.0", true, ManifestTarget{},
			map[string]string{"image.name": "path/api", "image.tag": "v1.0.0"}, "v1.0.1",
			ReasonReplacesImage, "image.name", "ghcr.io/path/api"},
		{"a newer one of that name is set", "path/api:v1.0.2", true, ManifestTarget{},
			map[string]string{"image.name": "path/api", "image.tag": "v1.0.2"}, "v1.0.1", ReasonOlderVersion, "", ""},
		{"the end of a part is another name", "ghcr.io/path/api:v1.0.0", false, ManifestTarget{},
			map[string]string{"image.name": "pi", "image.tag": "v1.0.0"}, "v1.0.1",
			ReasonReplacesImage, "image.name", "ghcr.io/path/api"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			source := argov1alpha1.ApplicationSource{Helm: &argov1alpha1.ApplicationSourceHelm{}}
			for name, value := range tc.before {
				source.Helm.Parameters = append(source.Helm.Parameters,
					argov1alpha1.HelmParameter{Name: name, Value: &value})
			}
			app := running("Helm", source, tc.running)
			config := semverOf("ghcr.io/path/api")
			config.Images[0].Target, config.Images[0].ForceUpdate = tc.target, tc.force
			pushed := Image{Name: "ghcr.io/path/api", Tag: tc.pushed}
			plan := PlanFor(app, config, pushed)
			if got := plan.Decisions[0]; got.Reason != tc.reason {
				t.Fatalf("got %+v, want %s", got, tc.reason)
			}
			if tc.field == "" {
				return
			}
			updated := follow(app, plan)
			for _, p := range updated.Spec.Source.Helm.Parameters {
				if p.Name == tc.field && *p.Value != tc.after {
					t.Errorf("%s is %s, want %s", p.Name, *p.Value, tc.after)
				}
			}
			if again := PlanFor(updated, config, pushed); len(again.Overrides) > 0 {
				t.Errorf("the second plan writes %+v", again.Overrides)
			}
		})
	}
}
