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
		{"a tag that is none says nothing", ManifestTarget{},
			[]argov1alpha1.HelmParameter{param("image.tag", "$TAG")}, ReasonNewerVersion,
			[]argov1alpha1.HelmParameter{param("image.tag", "1.1.0"), param("image.name", "shop")}},
		{"a pinned tag", ManifestTarget{},
			[]argov1alpha1.HelmParameter{param("image.tag", digests.Replace("1.1.0@sha256:old"))}, ReasonUpToDate, nil},
		{"a whole reference", spec,
			[]argov1alpha1.HelmParameter{param("image", "docker.io/library/shop:1.0.0")}, ReasonNewerVersion,
			[]argov1alpha1.HelmParameter{param("image", "shop:1.1.0")}},
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
