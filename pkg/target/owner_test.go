// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/imageupdate"
)

// generated returns an Application that an ApplicationSet generates.
func generated() *argov1alpha1.Application {
	app := heldMain(commit1, 60)
	app.Annotations = map[string]string{AnnotationUpdateTargetRevision: "true"}
	app.OwnerReferences = []metav1.OwnerReference{
		{APIVersion: "apps/v1", Kind: "Deployment", Name: "other"},
		{APIVersion: "argoproj.io/v1alpha1", Kind: "ApplicationSet", Name: "shops", UID: "1", Controller: new(true)},
	}
	return app
}

func TestManagerNote(t *testing.T) {
	mark := func(id, instance string) func(*argov1alpha1.Application) {
		return func(app *argov1alpha1.Application) {
			if id != "" {
				app.Annotations[annotationTrackingID] = id
			}
			app.Labels = map[string]string{labelInstance: instance}
		}
	}
	for name, test := range map[string]struct {
		change      func(*argov1alpha1.Application)
		spec, other string // the start of the note if the spec is written, or only annotations are
	}{
		"nothing": {func(*argov1alpha1.Application) {}, "", ""},
		"the owner of another": {
			func(app *argov1alpha1.Application) { app.OwnerReferences = generated().OwnerReferences[:1] }, "", ""},
		"a generator": {func(app *argov1alpha1.Application) { app.OwnerReferences = generated().OwnerReferences },
			`the ApplicationSet "shops" generates`, `the ApplicationSet "shops" generates`},
		"a parent": {mark("apps:argoproj.io/Application:demo/shop", ""), `the Application "apps" deploys`, ""},
		"a parent in another namespace": {mark("team_apps:argoproj.io/Application:demo/shop", "web"),
			`the Application "team_apps" deploys`, ""},
		"a copied annotation": {mark("apps:argoproj.io/Application:demo/other", ""), "", ""},
		"only the label":      {mark("", "apps"), `the Application "apps" may deploy`, ""},
		"its own name":        {mark("", "shop"), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			app := heldMain(commit1, 60)
			test.change(app)
			trim(t, app)
			for spec, want := range map[bool]string{true: test.spec, false: test.other} {
				got := managerNote(app, spec)
				if !strings.HasPrefix(got, want) || (got == "") != (want == "") {
					t.Errorf("spec %v: got %q, want %q", spec, got, want)
				}
			}
		})
	}
}

func TestManagerNote_IsInResult(t *testing.T) {
	const note = `the ApplicationSet "shops" generates the Application`
	if got := decide(t, generated(), event("v2", "github", 0, 1)); !strings.Contains(got.Message, note) {
		t.Errorf("git: got %+v", got.Result)
	}
	if got := decide(t, generated(), withImage(t, "nginx:1", event("", "quay.io", 0, 1))); !strings.Contains(
		got.Message, note) {
		t.Errorf("image: got %+v", got.Result)
	}
}

// An ApplicationSet takes annotations away, and with them the record of the last event. The order is kept all the same.
func TestOrder_KeptIfAnnotationsAreReset(t *testing.T) {
	const requested, superseded = ReasonRequested, ReasonSuperseded
	slot := slotOf(postern.TargetApplication, event("", "", 0, 0))
	for name, test := range map[string]struct {
		app      *argov1alpha1.Application
		held     []Request
		request  Request
		want     string
		withTime bool
	}{
		"an older event": {generated(), []Request{event("v2", "github", 10, 11)}, event("v1", "github", 9, 12),
			superseded,
			false},
		"an older event after one without a time": {generated(),
			[]Request{event("v2", "github", 10, 11), event("v3", "github", 0, 12)}, event("v1", "github", 9, 13),
			superseded,
			false},
		"a newer event": {generated(), []Request{event("v2", "github", 10, 11)}, event("v3", "github", 11, 12),
			requested,
			false},
		"an older event of another sender": {generated(), []Request{event("v2", "github", 10, 11)},
			event("v1", "gitlab", 9, 12), requested, false},
		"an older event, on purpose": {generated(), []Request{event("v2", "github", 10, 11)},
			onPurpose(event("v1", "github", 9, 12)), requested, false},
		"an event without a time keeps the last one": {generated(), []Request{event("v2", "github", 10, 11)},
			event("v3", "github", 0, 12), requested, true},
		"the owner has removed the annotation": {heldMain(commit1, 60), []Request{event("v2", "github", 10, 11)},
			event("v1", "github", 9, 12), requested, false},
	} {
		t.Run(name, func(t *testing.T) {
			watermarks := newWatermarkCache(maxCachedTargets)
			for _, r := range test.held {
				watermarks.record(shopKey, r, slot)
			}
			got := decideIn(t, planState{held: watermarks.get(shopKey)}, test.app, test.request)
			if got.Reason != test.want {
				t.Errorf("got %+v", got.Result)
			}
			after := appOf(t, mustApply(t, encode(t, test.app), got.Patch))
			recorded := parseWatermarks(after.Annotations)[slot]
			if test.withTime != !recorded.After.IsZero() {
				t.Errorf("recorded %+v", recorded)
			}
		})
	}
}

// After a restart, and at other replicas, the events of images are known from records, by the name of the image.
func TestOrder_OfImagesKeptIfAnnotationsAreReset(t *testing.T) {
	owners := generated().OwnerReferences
	for name, test := range map[string]struct {
		strategy string
		owners   []metav1.OwnerReference
		pushed   Request
		want     string
	}{
		"an older build": {"newest-build", owners, imageEvent(t, "nginx:a", 10, 22), ReasonSuperseded},
		"a newer build":  {"newest-build", owners, imageEvent(t, "nginx:c", 30, 31), imageupdate.ReasonNewestBuild},
		"an older build, on purpose": {"newest-build", owners, onPurpose(imageEvent(t, "nginx:a", 10, 22)),
			imageupdate.ReasonNewestBuild},
		"an older build of another sender": {"newest-build", owners, withEvent(imageEvent(t, "nginx:a", 10, 22),
			func(e *postern.DeliveryEvent) { e.Source = "quay.io" }), imageupdate.ReasonNewestBuild},
		"an older push of a higher version": {"semver", owners, imageEvent(t, "nginx:2.0", 10, 22),
			imageupdate.ReasonNewerVersion},
		"the owner has removed the annotation": {"newest-build", nil, imageEvent(t, "nginx:a", 10, 22),
			imageupdate.ReasonNewestBuild},
	} {
		app := appOf(t, strategyCase(test.strategy).document(t))
		app.OwnerReferences = test.owners
		w := &Writer{watermarks: newWatermarkCache(maxCachedTargets), clock: NewClock(time.Now)}
		w.RecordHeld(shopKey, imageEvent(t, "nginx:b", 20, 21))
		got := decideIn(t, planState{held: w.watermarks.get(shopKey)}, app, test.pushed)
		if got.Reason != test.want {
			t.Errorf("%s: got %+v", name, got.Result)
		}
	}
}

// Records may be learned in any order.
func TestWatermarkCache_TimesDoNotDependOnOrder(t *testing.T) {
	timed, untimed, replaced := event("v1", "github", 10, 11), event("v2", "github", 0, 12), event("v3", "gitlab", 5, 9)
	onPurpose := onPurpose(event("v0", "github", 5, 13))
	for _, requests := range [][]Request{{timed, untimed}, {timed, untimed, replaced}, {timed, onPurpose}} {
		var want watermarkSet
		for _, order := range [][]int{{0, 1, 2}, {1, 0, 2}, {2, 1, 0}, {1, 2, 0}} {
			watermarks := newWatermarkCache(maxCachedTargets)
			for _, i := range order {
				if i < len(requests) {
					watermarks.record(shopKey, requests[i], "git")
				}
			}
			got := watermarks.get(shopKey)
			if want == nil {
				want = got
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%d requests in the order %v (-want +got):\n%s", len(requests), order, diff)
			}
		}
	}
}
