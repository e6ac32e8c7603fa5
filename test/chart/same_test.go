// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestChartInstallsWhatTheManifestsDo(t *testing.T) {
	for name, tc := range map[string]struct {
		manifests string
		values    []string
	}{
		"base": {manifests: "manifests/base"},
	} {
		t.Run(name, func(t *testing.T) {
			chart := normalize(parse(t, mustTemplate(t, tc.values...)))
			manifests := normalize(parse(t, kustomize(t, tc.manifests)))
			if diff := cmp.Diff(manifests, chart); diff != "" {
				t.Errorf("the chart differs from %s (-manifests +chart):\n%s", tc.manifests, diff)
			}
		})
	}
}
