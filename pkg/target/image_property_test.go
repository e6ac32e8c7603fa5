// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// randomList makes lists of random entries: some set the image and some do not, some are duplicates, and some are
// incomplete.
type randomList struct {
	name        string
	annotations []string
	updater     string
	tool        string
	path        string // of the list, relative to the source
	entry       func(r *rand.Rand) any
	ours        func(entry any) bool
}

// named makes random parameters and variables with these names.
func named(names ...string) func(r *rand.Rand) any {
	return func(r *rand.Rand) any {
		entry := map[string]any{"name": names[r.IntN(len(names))]}
		switch r.IntN(6) {
		case 0: // without a value
		case 1:
			entry["value"] = nil
		case 2:
			entry["value"] = ""
		default:
			entry["value"] = []string{"nginx", "1.25", "a&b<c>", "1.24"}[r.IntN(4)]
		}
		if r.IntN(3) == 0 {
			entry["forceString"] = []any{true, false, nil}[r.IntN(3)]
		}
		if r.IntN(5) == 0 {
			entry["unknown"] = 7
		}
		return entry
	}
}

func hasName(names ...string) func(entry any) bool {
	return func(entry any) bool {
		for _, name := range names {
			if entry.(map[string]any)["name"] == name {
				return true
			}
		}
		return false
	}
}

var randomLists = []randomList{
	{
		name: "kustomize images", annotations: []string{"image-list: nginx", "force-update: true"},
		tool: "Kustomize", path: "kustomize/images",
		entry: func(r *rand.Rand) any {
			return []string{"nginx:1.25", "nginx", "docker.io/library/nginx:1.24", "x=nginx:1.25", "redis:7",
				"nginx-x:1", "", "a&b<c>", "nginx=redis:6"}[r.IntN(9)]
		},
		ours: func(entry any) bool {
			_, image, found := strings.Cut(entry.(string), "=")
			if !found {
				image = entry.(string)
			}
			name, _, _ := strings.Cut(image, ":")
			return name == "nginx" || name == "docker.io/library/nginx"
		},
	},
	{
		name: "helm parameters", annotations: []string{"image-list: nginx", "force-update: true"},
		tool: "Helm", path: "helm/parameters",
		entry: named("image.name", "image.tag", "image.tagged", "replicas", "", "image"),
		ours:  hasName("image.name", "image.tag"),
	},
	{
		name: "helm specification", annotations: []string{"image-list: web=nginx", "web.helm.image-spec: image[0]",
			"force-update: true"},
		tool: "Helm", path: "helm/parameters",
		entry: named("image[0]", "image[1]", "", "image.tag"),
		ours:  hasName("image[0]"),
	},
	{
		name: "plugin variables", tool: "Plugin", path: "plugin/env",
		updater: `{commonUpdateSettings: {forceUpdate: true}, applicationRefs: [{namePattern: "*", images: [
			{alias: a, imageName: nginx, manifestTargets: {plugin: {name: NAME, tag: TAG}}}]}]}`,
		entry: named("NAME", "TAG", "OTHER", ""),
		ours:  hasName("NAME", "TAG"),
	},
}

// TestDecideImage_KeepsOtherEntries patches random lists. Other entries must keep their content and their order,
// and the patch must never be rejected.
func TestDecideImage_KeepsOtherEntries(t *testing.T) {
	for _, list := range randomLists {
		t.Run(list.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			written := 0
			for range 500 {
				before := []any{}
				for range r.IntN(7) {
					before = append(before, list.entry(r))
				}
				if list.check(t, before) {
					written++
				}
			}
			if written < 100 {
				t.Errorf("only %d of 500 lists were written", written)
			}
		})
	}
}

// check patches one list and reports whether the patch was not empty.
func (l randomList) check(t *testing.T, before []any) (written bool) {
	t.Helper()
	member, list, _ := strings.Cut(l.path, "/")
	c := imageCase{annotations: l.annotations, updater: l.updater, tool: l.tool, pushed: "nginx:1.26",
		spec: fmt.Sprintf(`{"source": {"repoURL": "https://git.acme.io/shop", %q: {%q: %s, "other": 1}}}`, member, list,
			encode(t, before))}
	document := c.document(t)
	patch := c.decide(t, document).Patch
	after := mustApply(t, document, patch)
	expectPatch(t, "null", c.decide(t, after).Patch)

	var object map[string]any
	decode(t, after, &object)
	entries := valueAt(object, "/spec/source/"+l.path).([]any)
	if diff := cmp.Diff(l.others(t, before), l.others(t, entries)); diff != "" {
		t.Errorf("other entries in %s (-before +after):\n%s", encode(t, before), diff)
	}
	if len(entries) < len(before) || len(entries) > len(before)+2 {
		t.Errorf("%s became %s", encode(t, before), encode(t, entries))
	}
	return len(patch) > 0
}

// others returns the entries that do not set the image, as JSON.
func (l randomList) others(t *testing.T, entries []any) []string {
	t.Helper()
	var others []string
	for _, entry := range entries {
		if !l.ours(entry) {
			encoded, err := json.Marshal(entry)
			if err != nil {
				t.Fatal(err)
			}
			others = append(others, string(encoded))
		}
	}
	return others
}
