// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"testing"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
)

func TestPlanFor_ChoosesSource(t *testing.T) {
	helm := &argov1alpha1.ApplicationSourceHelm{}
	multi := func(types []string, sources ...argov1alpha1.ApplicationSource) *argov1alpha1.Application {
		return &argov1alpha1.Application{
			Spec:   argov1alpha1.ApplicationSpec{Sources: sources, Source: &argov1alpha1.ApplicationSource{Helm: helm}},
			Status: argov1alpha1.ApplicationStatus{SourceTypes: types},
		}
	}
	dry := func(source argov1alpha1.ApplicationSource, sourceType string) *argov1alpha1.Application {
		return &argov1alpha1.Application{
			Spec:   argov1alpha1.ApplicationSpec{SourceHydrator: &argov1alpha1.SourceHydrator{DrySource: source}},
			Status: argov1alpha1.ApplicationStatus{SourceType: sourceType},
		}
	}
	for _, tc := range []struct {
		name   string
		app    *argov1alpha1.Application
		target ManifestTarget
		want   string // field of the list, or reason
	}{
		{"the one there is", running("Helm", argov1alpha1.ApplicationSource{}), ManifestTarget{},
			"spec.source.helm.parameters"},
		{"what Argo CD says beats what is set", running("Kustomize", argov1alpha1.ApplicationSource{Helm: helm}),
			ManifestTarget{},
			"spec.source.kustomize.images"},
		{"what is set, where Argo CD has not looked", running("", kustomize()), ManifestTarget{},
			"spec.source.kustomize.images"},
		{"a chart, where Argo CD has not looked", running("", argov1alpha1.ApplicationSource{Chart: "shop"}),
			ManifestTarget{},
			"spec.source.helm.parameters"},
		{"no idea", running("", argov1alpha1.ApplicationSource{}), ManifestTarget{}, ReasonUnsupportedSource},
		{"no source", &argov1alpha1.Application{}, ManifestTarget{}, ReasonUnsupportedSource},
		{"the first tool", multi([]string{"Directory", "Kustomize", "Helm"}, argov1alpha1.ApplicationSource{},
			argov1alpha1.ApplicationSource{}, argov1alpha1.ApplicationSource{}), ManifestTarget{},
			"spec.sources[1].kustomize.images"},
		{"the source with settings for it",
			multi([]string{"Helm", "Helm", "Helm"}, argov1alpha1.ApplicationSource{Chart: "a"},
				argov1alpha1.ApplicationSource{Helm: helm}, argov1alpha1.ApplicationSource{Helm: helm}),
			ManifestTarget{},
			"spec.sources[1].helm.parameters"},
		{"the source that sets the image", multi([]string{"Helm", "Helm"},
			argov1alpha1.ApplicationSource{Helm: &argov1alpha1.ApplicationSourceHelm{
				Parameters: []argov1alpha1.HelmParameter{{Name: "image.name", Value: new("redis")},
					{Name: "image.tag", Value: new("7")}}}},
			argov1alpha1.ApplicationSource{Helm: &argov1alpha1.ApplicationSourceHelm{
				Parameters: []argov1alpha1.HelmParameter{{Name: "image.name", Value: new("shop")}}}}),
			ManifestTarget{}, "spec.sources[1].helm.parameters"},
		{"the source that sets the tag", multi([]string{"Helm", "Helm"},
			argov1alpha1.ApplicationSource{Helm: helm},
			argov1alpha1.ApplicationSource{Helm: &argov1alpha1.ApplicationSourceHelm{
				Parameters: []argov1alpha1.HelmParameter{{Name: "image.tag", Value: new("1.0.0")}}}}),
			ManifestTarget{}, "spec.sources[1].helm.parameters"},
		{"the source with an entry for the image", multi([]string{"Kustomize", "Kustomize"},
			kustomize("redis:7"), kustomize("shop:1.0.0")), ManifestTarget{}, "spec.sources[1].kustomize.images"},
		{"the tool that the target is for",
			multi([]string{"Kustomize", "Helm"}, kustomize(), argov1alpha1.ApplicationSource{}),
			ManifestTarget{SourceType: "Helm"}, "spec.sources[1].helm.parameters"},
		{"types of other sources than there are", multi([]string{"Kustomize"}, argov1alpha1.ApplicationSource{},
			argov1alpha1.ApplicationSource{Helm: helm}), ManifestTarget{}, "spec.sources[1].helm.parameters"},
		{"a target for what is not there", multi([]string{"Kustomize", "Directory"}, kustomize(),
			argov1alpha1.ApplicationSource{}), ManifestTarget{SourceType: "Helm"}, ReasonTargetMismatch},
		{"a target, and nothing is there", running("Directory", argov1alpha1.ApplicationSource{}),
			ManifestTarget{SourceType: "Helm"}, ReasonUnsupportedSource},
		{"a plugin without target", running("Plugin", argov1alpha1.ApplicationSource{}), ManifestTarget{},
			ReasonTargetMismatch},
		{"a plugin with one for Helm", running("Plugin", argov1alpha1.ApplicationSource{}),
			ManifestTarget{SourceType: "Helm"},
			ReasonTargetMismatch},
		{"a dry source that says what it is", dry(argov1alpha1.ApplicationSource{Helm: helm}, "Directory"),
			ManifestTarget{},
			"spec.sourceHydrator.drySource.helm.parameters"},
		{"a dry source that does not", dry(argov1alpha1.ApplicationSource{}, "Directory"), ManifestTarget{},
			ReasonUnsupportedSource},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.app.Status.Summary.Images = []string{"shop:1.0.0"}
			config := semverOf("shop")
			config.Images[0].Target = tc.target
			plan := PlanFor(tc.app, config, Image{Name: "shop", Tag: "1.1.0"})
			got := plan.Decisions[0].Reason
			if plan.Decisions[0].Update {
				got = plan.Overrides[0].Field()
			}
			if got != tc.want {
				t.Errorf("got %q, want %q: %s", got, tc.want, plan.Decisions[0].Message)
			}
		})
	}
}
