// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
)

func TestDecide_IsIdempotent(t *testing.T) {
	updates := map[string]int{}
	repeat(t, 5000, func(c generator) string {
		config, pushed := c.config(), c.image()
		pushed.Name = config.Name
		if c.IntN(3) == 0 {
			config.Constraint = pushed.Tag
		}
		current := Current{Overrides: some(c, c.image), Live: some(c, c.image)}
		for i := range current.Overrides {
			if c.IntN(3) == 0 {
				current.Overrides[i].Name, current.Overrides[i].Tag = pushed.Name, pushed.Tag
			}
		}
		first := Decide(config, current, pushed)
		if !first.Update {
			return ""
		}
		updates[first.Reason]++
		current.Overrides = []Image{{Name: config.Name, Tag: first.NewTag, Digest: first.NewDigest}}
		if second := Decide(config, current, pushed); second.Update {
			return fmt.Sprintf("%+v is followed by %+v", first, second)
		}
		return ""
	})
	for _, reason := range []string{ReasonNewerVersion, ReasonNewestBuild, ReasonAlphabeticallyLater, ReasonNewDigest,
		ReasonNothingToCompare, ReasonReplacesImage} {
		if updates[reason] < 10 {
			t.Errorf("only %d updates for the reason %s", updates[reason], reason)
		}
	}
}

// TestPlanFor_IsIdempotent allows one round per decision: two aliases may write to one place, where the
// second changes the result of the first.
func TestPlanFor_IsIdempotent(t *testing.T) {
	written := map[List]int{}
	repeat(t, 5000, func(c generator) string {
		app, pushed := c.application(), c.image()
		config := Config{Images: append(some(c, c.config), c.config())}
		asRead := app.DeepCopy()
		plan := PlanFor(app, config, pushed)
		if diff := cmp.Diff(asRead, app); diff != "" {
			return "the Application was modified:\n" + diff
		}
		for _, o := range plan.Overrides {
			written[o.List]++
		}
		for range plan.Decisions {
			app = follow(app, plan)
			plan = PlanFor(app, config, pushed)
		}
		if len(plan.Overrides) > 0 {
			return fmt.Sprintf("the plan does not converge: %+v\nfor %+v", plan, app)
		}
		return ""
	})
	for _, list := range []List{ListKustomizeImages, ListHelmParameters, ListPluginEnv} {
		if written[list] < 20 {
			t.Errorf("%s was written only %d times", list, written[list])
		}
	}
}

func TestPlanFor_AgreesWithDecisions(t *testing.T) {
	repeat(t, 5000, func(c generator) string {
		app, pushed := c.application(), c.image()
		config := Config{Images: []ImageConfig{c.config()}}
		plan := PlanFor(app, config, pushed)
		if len(plan.Decisions) == 0 || !plan.Decisions[0].Update {
			if len(plan.Overrides) > 0 {
				return fmt.Sprintf("%+v", plan)
			}
			return ""
		}
		version := Image{Tag: plan.Decisions[0].NewTag, Digest: plan.Decisions[0].NewDigest}.version()
		if len(plan.Overrides) != 1 || !strings.Contains(fmt.Sprint(values(plan.Overrides[0])), version) {
			return fmt.Sprintf("%s is not in %+v", version, plan)
		}
		return ""
	})
}

// values returns the values that an override writes.
func values(o Override) []string {
	var all []string
	for _, e := range o.Changes {
		switch entry := e.New.(type) {
		case string:
			all = append(all, entry)
		case argov1alpha1.HelmParameter:
			all = append(all, deref(entry.Value))
		case argov1alpha1.EnvEntry:
			all = append(all, entry.Value)
		}
	}
	return all
}

func FuzzParsing(f *testing.F) {
	for _, seed := range []string{"nginx", "a=b:~1", "ghcr.io/acme/shop:1@sha256:0", "x:>=1 <2, y", "=", ":", "@",
		"a/b=c/d:e@f"} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, list, ref string) {
		app := annotated(map[string]string{"image-list": list, "update-strategy": "newest-build",
			"force-update": "true"})
		app.Spec.Source = new(kustomize(ref))
		app.Status.Summary.Images = []string{ref}
		config, _ := ConfigFor(app, nil)
		for _, c := range config.Images {
			plan := PlanFor(app, config, Image{Name: c.Name, Tag: "v1"})
			if again := PlanFor(follow(app, plan), config, Image{Name: c.Name, Tag: "v1"}); len(again.Overrides) > 0 {
				t.Errorf("%q with %q is written again: %+v", list, ref, again)
			}
		}
		i, err := ParseImage(ref)
		if err != nil {
			return
		}
		if again, err := ParseImage(i.String()); err != nil || again != i || i.String() != ref {
			t.Errorf("%q becomes %q, then %+v: %v", ref, i, again, err)
		}
	})
}
