// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPlanFor_KustomizeEntry(t *testing.T) {
	renamed := ManifestTarget{SourceType: "Kustomize", Name: "base/web"}
	for _, tc := range []struct {
		name   string
		target ManifestTarget
		live   string
		before []string
		after  []string // nil: nothing is written
	}{
		{"no entry", ManifestTarget{}, "acme/web:1.0.0", []string{"nginx:1.0.0"},
			[]string{"nginx:1.0.0", "acme/web:1.1.0"}},
		{"one is there", ManifestTarget{}, "acme/web:1.0.0", []string{"nginx:1.0.0", "acme/web:1.0.0", "redis"},
			[]string{"nginx:1.0.0", "acme/web:1.1.0", "redis"}},
		{"one without tag", ManifestTarget{}, "acme/web:1.0.0", []string{"acme/web"}, []string{"acme/web:1.1.0"}},
		{"one with a digest", ManifestTarget{}, "acme/web:1.0.0", []string{digests.Replace("acme/web@sha256:old")},
			[]string{"acme/web:1.1.0"}},
		{"one spelled as in the manifests keeps its spelling", ManifestTarget{}, "docker.io/acme/web:1.0.0",
			[]string{"docker.io/acme/web:1.0.0"},
			[]string{"docker.io/acme/web:1.1.0"}},
		{"one spelled differently has no effect", ManifestTarget{}, "acme/web:1.0.0",
			[]string{"docker.io/acme/web:1.0.0"},
			[]string{"acme/web:1.1.0"}},
		{"one spelled differently with this version has no effect", ManifestTarget{}, "acme/web:1.0.0",
			[]string{"docker.io/acme/web:1.1.0"},
			[]string{"acme/web:1.1.0"}},
		{"one spelled differently with a newer version stays", ManifestTarget{}, "acme/web:1.0.0",
			[]string{"docker.io/acme/web:1.2.0"}, nil},
		{"one that spells the image anew", ManifestTarget{}, "acme/web:1.0.0",
			[]string{"docker.io/acme/web=acme/web:1.0.0"},
			[]string{"docker.io/acme/web=acme/web:1.1.0"}},
		{"one that keeps the name", ManifestTarget{}, "acme/web:1.0.0", []string{"acme/web=*:1.0.0"},
			[]string{"acme/web=*:1.1.0"}},
		{"a newer one that keeps the name", ManifestTarget{}, "acme/web:1.0.0", []string{"acme/web=:1.2.0"}, nil},
		{"a newer one for a tag", ManifestTarget{}, "acme/web:1.0.0", []string{"acme/web:1.0.0=acme/web:1.2.0"}, nil},
		{"one for a tag", ManifestTarget{}, "acme/web:1.0.0", []string{"acme/web:1.0.0=acme/web:1.0.1"},
			[]string{"acme/web:1.0.0=acme/web:1.1.0"}},
		{"one with a variable stays", ManifestTarget{}, "acme/web:1.0.0", []string{"acme/web:${ARGOCD_APP_REVISION}"},
			nil},
		{"one with a variable for the name stays", ManifestTarget{}, "acme/web:1.0.0", []string{"acme/web=$NAME:1.0.0"},
			nil},
		{"one that replaces another name keeps it", ManifestTarget{}, "acme/web:1.0.0",
			[]string{"base/web=acme/web:1.0.0"},
			[]string{"base/web=acme/web:1.1.0"}},
		{"all that set the image", ManifestTarget{}, "acme/web:1.0.0", []string{"a=acme/web:1.0.0", "b=acme/web:1.0.1"},
			[]string{"a=acme/web:1.1.0", "b=acme/web:1.1.0"}},
		{"another registry's is another image", ManifestTarget{}, "acme/web:1.0.0", []string{"quay.io/acme/web:1.0.0"},
			[]string{"quay.io/acme/web:1.0.0", "acme/web:1.1.0"}},
		{"another image on the same port", ManifestTarget{}, "acme/web:1.0.0", []string{"localhost:5000/web:1.0.0"},
			[]string{"localhost:5000/web:1.0.0", "acme/web:1.1.0"}},
		{"what makes no sense stays", ManifestTarget{}, "acme/web:1.0.0", []string{"A B", "=", ""},
			[]string{"A B", "=", "", "acme/web:1.1.0"}},
		{"the manifests spell it differently", ManifestTarget{}, "docker.io/acme/web:1.0.0", nil,
			[]string{"docker.io/acme/web=acme/web:1.1.0"}},
		{"a newer one is there", ManifestTarget{}, "acme/web:1.0.0", []string{"acme/web:1.2.0"}, nil},
		{"a name to replace", renamed, "base/web:0.9.0", nil, []string{"base/web=acme/web:1.1.0"}},
		{"a newer version under the name to replace", renamed, "base/web:9.0.0", nil, nil},
		{"a newer entry for the name to replace", renamed, "base/web:1.0.0", []string{"base/web:9.0.0"}, nil},
		{"a name to replace with its tag", ManifestTarget{SourceType: "Kustomize", Name: "base/web:1"}, "base/web:1",
			nil,
			[]string{"base/web:1=acme/web:1.1.0"}},
		{"a name to replace that an entry spells differently", renamed, "acme/web:1.0.0",
			[]string{"docker.io/base/web=acme/web:1.0.0"},
			[]string{"docker.io/base/web=acme/web:1.1.0"}},
		{"a name to replace that an entry alone spells differently", renamed, "base/web:0.9.0",
			[]string{"docker.io/base/web:0.9.0"},
			[]string{"base/web=acme/web:1.1.0"}},
		{"a newer version of what the name to replace stands for", renamed, "acme/web:1.0.0",
			[]string{"base/web=:1.2.0"}, nil},
		{"an older version of what the name to replace stands for", renamed, "acme/web:1.0.0",
			[]string{"base/web=:1.0.0"}, []string{"base/web=acme/web:1.1.0"}},
		{"a version of the name to replace", renamed, "base/web:0.9.0", []string{"base/web=:0.9.1"},
			[]string{"base/web=acme/web:1.1.0"}},
		{"a variable for the name to replace", renamed, "acme/web:1.0.0", []string{"base/web=:$TAG"}, nil},
		{"a name to replace that is replaced", renamed, "acme/web:1.0.0", []string{"base/web=acme/web:1.0.0"},
			[]string{"base/web=acme/web:1.1.0"}},
		{"a name to replace by another image", renamed, "base/web:0.9.0", []string{"base/web=other/web:1.0.5"},
			[]string{"base/web=acme/web:1.1.0"}},
		{"a name to replace that is only pinned", renamed, "base/web:0.9.0", []string{"base/web:0.9.0"},
			[]string{"base/web=acme/web:1.1.0"}},
		{"a name to replace takes over the image's entry", renamed, "acme/web:1.0.0", []string{"acme/web:1.0.0"},
			[]string{"base/web=acme/web:1.1.0"}},
		{"a name to replace, with another entry of the same image", renamed, "acme/web:1.0.0",
			[]string{"a=acme/web:1.0.0", "base/web=acme/web:1.0.0"},
			[]string{"a=acme/web:1.0.0", "base/web=acme/web:1.1.0"}},
		{"the same version under the name to replace", renamed, "base/web:1.1.0", nil,
			[]string{"base/web=acme/web:1.1.0"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			app := running("Kustomize", kustomize(tc.before...), tc.live)
			config := semverOf("acme/web")
			config.Images[0].Target = tc.target
			plan := PlanFor(app, config, Image{Name: "acme/web", Tag: "1.1.0"})
			var got []string
			if len(plan.Overrides) > 0 {
				got = plan.Overrides[0].After.([]string)
			}
			if diff := cmp.Diff(tc.after, got); diff != "" {
				t.Errorf("the images differ (-want +got):\n%s%+v", diff, plan.Decisions)
			}
		})
	}
}
