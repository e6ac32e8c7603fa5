// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/imageupdate"
)

// pick1 picks one value, "" for absent.
func pick1(r *rand.Rand, of ...string) string { return of[r.IntN(len(of))] }

// ownersWrite returns random annotations that an owner may write.
func ownersWrite(r *rand.Rand) map[string]string {
	annotations := map[string]string{
		AnnotationUpdateTargetRevision: pick1(r, "", "", "true", "false"),
		AnnotationFollowTags:           pick1(r, "", ">=1", ">=2", "latest"),
		AnnotationRequestedRef:         pick1(r, "", "", "main", "v1.1.0", "nginx:1.1"),
		AnnotationRequestedRevision:    pick1(r, "", "", "1111"),
		AnnotationEventTime: pick1(r, "", "",
			`{"git":{"by":"github","time":"2026-03-01T12:05:00Z","received":"2026-03-01T12:05:00Z"}}`,
			`{"git":{"by":"github","received":"2026-03-01T12:05:00Z","wrote":{"ref":"v1.1.0","before":["main"]}}}`,
			`{"git/git.acme.io/shop":{"by":"github","received":"2026-03-01T12:05:00Z","wrote":{"ref":"v9"}}}`,
			`{"image/web":{"by":"github","time":"2026-03-01T12:05:00Z","received":"2026-03-01T12:05:00Z"}}`),
		postern.AnnotationHold:       pick1(r, "", "", "", "", "", "a freeze", "false"),
		AnnotationHoldRollbacks:      pick1(r, "", "", "false"),
		"argocd.argoproj.io/refresh": pick1(r, "", "hard"),
		"stoker.io/requested-ref":    pick1(r, "", "main", "v1.0.0"),
		"team":                       pick1(r, "", "a"),
	}
	for name, value := range map[string]string{
		"image-list": pick1(r, "", "web=nginx", "web=nginx", "nginx:1.x", "web=nginx, side=nginx:2.x",
			"redis"),
		"write-back-method":        pick1(r, "", "", "git", "argocd"),
		"update-strategy":          pick1(r, "", "", "newest-build"),
		"allow-tags":               pick1(r, "", "", "regexp:^1"),
		"web.allow-tags":           pick1(r, "", "", "regexp:^2", "regexp:^1"),
		"web.tag-match":            pick1(r, "", "", "regexp:^1"),
		"web.ignore-tags":          pick1(r, "", "", "1.*"),
		"web.update-strategy":      pick1(r, "", "", "newest-build", "alphabetical"),
		"web.force-update":         pick1(r, "", "", "true", "maybe"),
		"force-update":             pick1(r, "", "", "true"),
		"web.kustomize.image-name": pick1(r, "", "", "redis"),
		"web.helm.image-tag":       pick1(r, "", "", "tag"),
	} {
		annotations[iuv1alpha1.AnnotationPrefix+name] = value
	}
	for key, value := range annotations {
		if value == "" {
			delete(annotations, key)
		}
	}
	return annotations
}

// randomApplication returns an Application in a random state.
func randomApplication(t *testing.T, r *rand.Rand) string {
	source := func() string {
		return `{"repoURL": "https://git.acme.io/` + pick1(r, "shop", "shop", "values") + `"` +
			pick1(r, "", `, "targetRevision": "main"`, `, "targetRevision": "v1.0.0"`) +
			pick1(r, "", `, "path": "a"`) + pick1(r, "", "", `, "chart": "c"`) +
			pick1(r, "", `, "kustomize": {}`, `, "kustomize": {"images": ["nginx:1.0"]}`,
				`, "kustomize": {"images": ["redis:7", "nginx:1.0"]}`) +
			pick1(r, "", "", `, "helm": {"parameters": [{"name": "image.tag", "value": "1.0"}]}`) + `}`
	}
	spec := []string{
		`{"project": "a"}`, `{"source": ` + source() + `}`, `{"source": ` + source() + `}`, `{"sources": [` + source() +
			`]}`,
		`{"sources": [` + source() + `, ` + source() + `]}`, `{"sources": [], "source": ` + source() + `}`,
		`{"source": ` + source() + `, "sourceHydrator": {"drySource": ` + source() + `}}`,
	}[r.IntN(7)]
	metadata := map[string]any{"name": "shop", "namespace": "demo"}
	if annotations := ownersWrite(r); r.IntN(8) > 0 {
		metadata["annotations"] = annotations
	}
	if label := pick1(r, "", "web", "db"); label != "" {
		metadata["labels"] = map[string]string{"tier": label}
	}
	document := map[string]any{"metadata": metadata, "spec": json.RawMessage(spec)}
	if r.IntN(6) > 0 {
		document["status"] = json.RawMessage(`{` + strings.TrimPrefix(pick1(r, "", `, "sourceType": "Kustomize"`,
			`, "sourceType": "Helm"`,
			`, "sourceTypes": ["Kustomize", "Helm"]`)+
			pick1(r, "", `, "summary": {"images": ["nginx:1.0"]}`, `, "summary": {"images": ["nginx:1.2"]}`,
				`, "summary": {}`), ", ") + `}`)
	}
	return encode(t, document)
}

func randomSync(t *testing.T, r *rand.Rand) string {
	metadata := map[string]any{"name": "plant", "namespace": "demo"}
	if annotations := ownersWrite(r); r.IntN(8) > 0 {
		metadata["annotations"] = annotations
	}
	return encode(t, map[string]any{"metadata": metadata,
		"spec": json.RawMessage(`{"git": {"repo": "https://git.acme.io/` +
			pick1(r, "shop", "shop", "values") + `"` + pick1(r, "", `, "ref": "main"`, `, "ref": "v1.0.0"`,
			`, "ref": ""`) + `}}`)})
}

// near returns a state that differs from document in a few members, as after an edit.
func near(t *testing.T, r *rand.Rand, document, other string) string {
	t.Helper()
	var a, b map[string]any
	decode(t, document, &a)
	decode(t, other, &b)
	mix(r, a, b)
	spec := a["spec"].(map[string]any)
	if sources, ok := spec["sources"].([]any); ok && r.IntN(4) == 0 {
		spec["sources"] = append(sources, map[string]any{"repoURL": "https://git.acme.io/shop"})
	}
	return encode(t, a)
}

// mix copies some members from another object, and removes some that it lacks.
func mix(r *rand.Rand, into, from map[string]any) {
	for key := range from {
		inner, ok := into[key].(map[string]any)
		innerFrom, fromOK := from[key].(map[string]any)
		switch {
		case ok && fromOK:
			mix(r, inner, innerFrom)
		case r.IntN(8) == 0:
			into[key] = from[key]
		}
	}
	for key := range into {
		if _, ok := from[key]; !ok && r.IntN(8) == 0 {
			delete(into, key)
		}
	}
}

// A decision on the cache, which may be behind in any field, is written only to an object that leads to the same
// decision.
func TestStale_PatchPassesOnlyForSameDecision(t *testing.T) {
	byLabel := updaterWith("demo", "by-label", "shop", "nginx:1.x")
	byLabel.Spec.ApplicationRefs[0].LabelSelectors = &metav1.LabelSelector{
		MatchLabels: map[string]string{"tier": "web"}}
	byAnnotations := updaterWith("demo", "by-annotations", "*")
	byAnnotations.Spec.ApplicationRefs[0].UseAnnotations = new(true)
	one, other := imageupdate.NewUpdater(byLabel), imageupdate.NewUpdater(byAnnotations)
	updaters := map[string][]*imageupdate.Updater{
		"no ImageUpdater": nil, "one by label": {one}, "one by annotations": {other}, "both": {one, other},
	}
	for kind, random := range map[postern.TargetKind]func(*testing.T, *rand.Rand) string{
		postern.TargetApplication: randomApplication, postern.TargetGatewaySync: randomSync,
	} {
		for name, updaters := range updaters {
			t.Run(string(kind)+", "+name, func(t *testing.T) {
				r, passed, refused := rand.New(rand.NewPCG(9, uint64(len(name)))), 0, 0
				for range 1200 {
					old := random(t, r)
					now := near(t, r, old, random(t, r))
					requests := []Request{batchTargets[1].random(t, r)}
					if kind == postern.TargetGatewaySync {
						requests[0] = randomGitRequest(t, r)
					}
					planned, err := planFor(t.Context(), trimmed(t, kind, old), requests, planState{updaters: updaters})
					if errors.Is(err, errCacheUncertain) {
						continue
					}
					if err != nil {
						t.Fatal(err)
					}
					got, err := apply(now, planned.patch)
					if err != nil {
						refused++
						continue
					}
					passed++
					present := snapshot{kind: mustKind(kind), obj: parse(t, kind, now), document: []byte(now)}
					live, err := planFor(t.Context(), present, requests, planState{updaters: updaters})
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(live.decisions[0].Reason, planned.decisions[0].Reason); diff != "" {
						t.Errorf("%+v\non %s\nalthough the target is %s: reason (-live +planned):\n%s", requests, old,
							now, diff)
					}
					if want := mustApply(t, now, live.patch); !sameObject(t, want, got) {
						t.Fatalf("%+v\nwas decided on %s\nalthough the target is %s\nand results in %s\nnot %s",
							requests, old, now, got, want)
					}
				}
				if passed < 15 || refused < 15 {
					t.Errorf("only %d patches passed and %d were rejected", passed, refused)
				}
			})
		}
	}
}

func sameObject(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	decode(t, a, &x)
	decode(t, b, &y)
	return cmp.Equal(x, y)
}
