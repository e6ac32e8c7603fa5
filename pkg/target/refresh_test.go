// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern"
)

const commit1, commit2 = "1111111111111111111111111111111111111111", "2222222222222222222222222222222222222222"

// heldMain is an Application whose annotations say that main was requested at a commit, some seconds before noon.
func heldMain(revision string, seconds int) *argov1alpha1.Application {
	return &argov1alpha1.Application{
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "shop", Annotations: map[string]string{
			AnnotationRequestedRef: "main", AnnotationRequestedRevision: revision,
			AnnotationRequestedAt: noon.Add(-time.Duration(seconds) * time.Second).UTC().Format(time.RFC3339),
		}},
		Spec: argov1alpha1.ApplicationSpec{Source: new(source("https://git.acme.io/shop", "main"))},
	}
}

// toMain is a request for main at a commit.
func toMain(revision string, change func(*Request)) Request {
	r := Request{
		DeliveryEvent: &postern.DeliveryEvent{Ref: "main", Revision: revision, Source: "github"}, At: noon,
		Received: noon,
	}
	if change != nil {
		change(&r)
	}
	return r
}

func TestRefresh_HeldRefIsRefreshedUnlessNothingCanBeNew(t *testing.T) {
	again, onPurpose := func(r *Request) { r.Again = true }, func(r *Request) { r.Override = true }
	const requested, already, superseded = ReasonRequested, ReasonAlreadyRequested, ReasonSuperseded
	for name, test := range map[string]struct {
		app       *argov1alpha1.Application
		request   Request
		want      string
		refreshes bool
	}{
		"it names no commit":                       {heldMain(commit1, 1), toMain("", nil), requested, true},
		"another commit":                           {heldMain(commit1, 1), toMain(commit2, nil), requested, true},
		"the same commit, later":                   {heldMain(commit1, 60), toMain(commit1, nil), requested, true},
		"the same commit, at once":                 {heldMain(commit1, 1), toMain(commit1, nil), already, false},
		"the same commit, at a time in the future": {heldMain(commit1, -60), toMain(commit1, nil), requested, true},
		"the same commit, delivered on purpose":    {heldMain(commit1, 1), toMain(commit1, onPurpose), requested, true},
		"a repeat":                                 {heldMain(commit1, 60), toMain(commit1, again), requested, true},
		"a repeat that names no commit":            {heldMain(commit1, 60), toMain("", again), requested, true},
		"a repeat at once":                         {heldMain(commit1, 1), toMain(commit1, again), already, false},
		"a repeat of a commit that was replaced":   {heldMain(commit1, 60), toMain(commit2, again), superseded, false},
		"a repeat of a ref that was replaced": {heldMain(commit1, 60), toMain(commit1, func(r *Request) {
			*r = withEvent(*r, func(e *postern.DeliveryEvent) { e.Ref = "v1" })
			r.Again = true
		}), superseded, false},
		"a repeat of an image": {heldMain(commit1, 60), toMain(commit1, func(r *Request) {
			*r = withImage(t, "nginx:1", *r)
			r.Again = true
		}), already, false},
	} {
		t.Run(name, func(t *testing.T) {
			before := test.app.DeepCopy()
			got := decide(t, test.app, test.request)
			after := appOf(t, mustApply(t, encode(t, test.app), got.Patch))
			if got.Reason != test.want || got.Held == (test.want == superseded) && test.request.Image == nil {
				t.Errorf("got %+v", got.Result)
			}
			annotations := after.Annotations
			isAsked := annotations[argov1alpha1.AnnotationRefresh] == "normal" &&
				annotations[argov1alpha1.AnnotationRefreshTimestamp] != "" &&
				annotations[AnnotationRequestedAt] == test.request.at()
			if isAsked != test.refreshes || annotations[AnnotationRequestedRef] != "main" {
				t.Errorf("the annotations are %v", annotations)
			}
			if revision := before.Annotations[AnnotationRequestedRevision]; test.request.Again &&
				annotations[AnnotationRequestedRevision] != revision {
				t.Errorf("a repeat changes the commit: the annotations are %v", annotations)
			}
			if _, recorded := after.Annotations[AnnotationEventTime]; test.request.Again && recorded {
				t.Error("a repeat counts for the order")
			}
		})
	}
}

func TestRefresh_RepeatTouchesGatewaySync(t *testing.T) {
	document := strings.Replace(plantAt("main"), `"team": "a"`,
		`"team": "a", "stoker.io/requested-at": "2026-01-01T00:00:00Z"`, 1)
	got := decide(t, parse(t, postern.TargetGatewaySync, document), toMain("", func(r *Request) { r.Again = true }))
	if got.Reason != ReasonRequested || !got.Held {
		t.Errorf("got %+v", got.Result)
	}
	expectPatch(t, `[
		{"op": "add", "path": "/metadata/annotations/stoker.io~1requested-at", "value": "2026-03-01T12:00:00Z"}
	]`, edits(got.Patch))
}

// The annotations describe only the last request, or none. A repeat of another one asks Argo CD all the same, if it is
// the last of its repository.
func TestRefresh_RepeatOfEachRepository(t *testing.T) {
	const requested, superseded = ReasonRequested, ReasonSuperseded
	push := func(repository, revision string, second int) Request {
		r := withEvent(withRepository(repository, branch("main")), func(e *postern.DeliveryEvent) {
			e.Revision, e.Source = revision, "gitlab"
		})
		r.At, r.Received = atSecond(float64(second)), atSecond(float64(second))
		return r
	}
	first, second := push(shop, commit1, 0), push(values, commit2, 1)
	image := withImage(t, "nginx:2", event("", "quay.io", 0, 0))
	image.At, image.Received = atSecond(1), atSecond(1)
	one := []argov1alpha1.ApplicationSource{source(shop, "main")}
	two := []argov1alpha1.ApplicationSource{source(shop, "main"), source(values, "main")}
	for name, test := range map[string]struct {
		sources []argov1alpha1.ApplicationSource
		then    Request
		isReset bool
		after   int // seconds
		want    string
	}{
		"after another repository":               {two, second, false, 20, requested},
		"at once after another repository":       {two, second, false, 2, ReasonAlreadyRequested},
		"after an image":                         {one, image, false, 20, requested},
		"after a later commit":                   {two, push(shop, commit2, 1), false, 20, superseded},
		"after another repository, at one place": {one, second, false, 20, superseded},
		"after the annotations were reset":       {two, second, true, 20, requested},
		"after a later commit, and a reset":      {two, push(shop, commit2, 1), true, 20, superseded},
	} {
		app := applicationOf(nil, test.sources...)
		if test.isReset {
			app.OwnerReferences = generated().OwnerReferences
		}
		document, watermarks := encode(t, app), newWatermarkCache(maxCachedTargets)
		for _, r := range []Request{first, test.then} {
			d := decide(t, appOf(t, document), r)
			document = mustApply(t, document, d.Patch)
			watermarks.record(shopKey, r, d.Slots...)
		}
		app = appOf(t, document)
		delete(app.Annotations, argov1alpha1.AnnotationRefresh)
		if test.isReset {
			app.Annotations = nil
		}
		repeat := first
		repeat.Again, repeat.At = true, atSecond(float64(test.after))
		got := decideIn(t, planState{held: watermarks.get(shopKey)}, app, repeat)
		if got.Reason != test.want || got.Held == (test.want == superseded) {
			t.Errorf("%s: got %+v", name, got.Result)
		}
		after := appOf(t, mustApply(t, encode(t, app), got.Patch)).Annotations
		isAsked := after[argov1alpha1.AnnotationRefresh] == "normal"
		if wanted := test.want == requested; isAsked != wanted || (len(got.Changes) > 0) != wanted {
			t.Errorf("%s: the annotations are %v", name, after)
		}
		for _, key := range []string{AnnotationRequestedRef, AnnotationRequestedAt, AnnotationEventTime} {
			if after[key] != app.Annotations[key] {
				t.Errorf("%s: the repeat sets %s to %q", name, key, after[key])
			}
		}
	}
}

// A retry of a request that was written, although its result was lost, is no news.
func TestRefresh_RetryAfterWriteIsNone(t *testing.T) {
	document := encode(t, heldMain(commit1, 60))
	r := toMain("", nil)
	after := mustApply(t, document, decide(t, appOf(t, document), r).Patch)
	r.Retry = true
	if got := decide(t, appOf(t, after), r); got.Reason != ReasonAlreadyRequested || len(got.Patch) > 0 {
		t.Errorf("got %+v, %v", got.Result, got.Patch)
	}
}

func TestRefresh_AsksHydrator(t *testing.T) {
	for _, pending := range []string{"", "normal", "hard"} {
		app := heldMain(commit1, 60)
		app.Spec.SourceHydrator = &argov1alpha1.SourceHydrator{DrySource: source("https://git.acme.io/dry", "main")}
		want := "normal"
		if pending != "" {
			app.Annotations[argov1alpha1.AnnotationHydrate] = pending
			want = pending
		}
		for _, r := range []Request{toMain(commit2, nil), withImage(t, "nginx:1", toMain("", nil))} {
			got := appOf(t, mustApply(t, encode(t, app), decide(t, app, r).Patch)).Annotations
			if got[argov1alpha1.AnnotationHydrate] != want || got[argov1alpha1.AnnotationRefresh] != "normal" ||
				got[argov1alpha1.AnnotationHydrateTimestamp] != "2026-03-01T12:00:00.0000005Z" {
				t.Errorf("pending %q, %s: got %v", pending, r.Ref, got)
			}
		}
	}
	app := heldMain(commit1, 60)
	after := appOf(t, mustApply(t, encode(t, app), decide(t, app, toMain(commit2, nil)).Patch))
	if _, asked := after.Annotations[argov1alpha1.AnnotationHydrate]; asked {
		t.Error("asked a hydrator that does not exist")
	}
}

func TestTargetRevision_ChartTakesOnlyVersions(t *testing.T) {
	charts := []argov1alpha1.ApplicationSource{
		{RepoURL: "https://charts.acme.io", Chart: "shop", TargetRevision: new("1.2.3")},
		{RepoURL: "ghcr.io/acme/charts", Chart: "shop", TargetRevision: new("1.2.3")},
		{RepoURL: "oci://ghcr.io/acme/shop", Path: ".", TargetRevision: new("1.2.3")},
	}
	for ref, test := range map[string]struct {
		kind postern.RefType
		want bool
	}{
		"main": {postern.RefTypeBranch, false}, "release": {"", false}, "2.0.0-branch": {postern.RefTypeBranch, false},
		commit1: {postern.RefTypeCommit, false}, "v2": {postern.RefTypeTag, false}, "2.0": {"", false},
		"latest": {postern.RefTypeTag, false}, "2.0.0": {"", true}, "v2.0.0": {postern.RefTypeTag, true},
		"2.0.0-rc.1": {postern.RefTypeTag, true},
	} {
		for _, chart := range charts {
			for _, spec := range []argov1alpha1.ApplicationSpec{
				{Source: &chart}, {Sources: []argov1alpha1.ApplicationSource{chart}},
			} {
				app := &argov1alpha1.Application{Spec: spec}
				app.Annotations = map[string]string{AnnotationUpdateTargetRevision: "true"}
				got := decide(t, app, Request{
					DeliveryEvent: &postern.DeliveryEvent{Ref: ref, RefType: test.kind, Source: "github"}, At: noon,
				})
				moves := slices.ContainsFunc(got.Changes, func(c Change) bool {
					return strings.HasSuffix(c.Field, ".targetRevision") && c.New == ref
				})
				says := strings.Contains(got.Message, fmt.Sprintf("%q is no semantic version", ref))
				if moves != test.want || says == test.want || !got.Held {
					t.Errorf("%s for %s %s: got %+v", ref, chart.RepoURL, chart.Chart, got.Result)
				}
				sets := slices.ContainsFunc(edits(got.Patch), func(o operation) bool {
					return o.Value == ref && strings.HasPrefix(o.Path, "/spec")
				})
				if sets != test.want {
					t.Errorf("%s for %s %s: the patch is %v", ref, chart.RepoURL, chart.Chart, got.Patch)
				}
			}
		}
	}
}
