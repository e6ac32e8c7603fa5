// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern"
)

// atSecond returns noon, in whole seconds, plus some seconds.
func atSecond(seconds float64) time.Time {
	return noon.UTC().Truncate(time.Second).Add(time.Duration(seconds * float64(time.Second)))
}

// askedApp is an Application for which main was requested at second 0. Argo CD is no longer asked to refresh.
func askedApp(revision string, change func(*argov1alpha1.Application)) *argov1alpha1.Application {
	app := heldMain(revision, 0)
	app.Annotations[AnnotationRequestedAt] = atSecond(0).Format(time.RFC3339)
	app.Annotations[AnnotationEventTime] = awaits(revision, 0)
	if change != nil {
		change(app)
	}
	return app
}

// awaits is the event times of an Application that should show a commit of shop since some second.
func awaits(commit string, second float64) string {
	return watermarkSet{slotGit: {By: "github", Received: atSecond(second), Commit: commit}}.String()
}

// refreshed sets when Argo CD began its last comparison, and with which commit.
func refreshed(seconds float64, revision string) func(*argov1alpha1.Application) {
	return func(app *argov1alpha1.Application) {
		app.Status.ReconciledAt = &metav1.Time{Time: atSecond(seconds).Truncate(time.Second)}
		app.Status.Sync.Revision = revision
	}
}

// ignored leaves the timestamp of a request in second s, as a release does that does not know it.
func ignored(seconds float64) func(*argov1alpha1.Application) {
	return func(app *argov1alpha1.Application) {
		app.Annotations[argov1alpha1.AnnotationRefreshTimestamp] = atSecond(seconds).Format(time.RFC3339Nano)
	}
}

func all(changes ...func(*argov1alpha1.Application)) func(*argov1alpha1.Application) {
	return func(app *argov1alpha1.Application) {
		for _, change := range changes {
			change(app)
		}
	}
}

func TestRefreshAgain_Due(t *testing.T) {
	imageSince := func(second float64) func(*argov1alpha1.Application) {
		return func(app *argov1alpha1.Application) {
			app.Annotations[AnnotationRequestedRef] = "nginx:1"
			delete(app.Annotations, AnnotationRequestedRevision)
			app.Annotations[AnnotationEventTime] = awaits(commit2, second)
		}
	}
	repeated := func(app *argov1alpha1.Application) { app.Annotations[AnnotationEventTime] = awaits(commit2, -600) }
	pending := func(app *argov1alpha1.Application) { app.Annotations[argov1alpha1.AnnotationRefresh] = "normal" }
	for name, test := range map[string]struct {
		app         *argov1alpha1.Application
		overlapping bool
		now         float64
		want        float64 // seconds; 0 for never
	}{
		"served": {askedApp(commit2, refreshed(1, commit2)), false, 1, 0},
		"served, by a release that ignores the timestamp": {askedApp(commit2, all(ignored(0.5), refreshed(0, commit2))),
			false, 1, 0},
		"not served yet":             {askedApp(commit2, all(pending, refreshed(0, commit1))), false, 1, 0},
		"git served the commit late": {askedApp(commit2, refreshed(0, commit1)), false, 1, 1},
		"and still later":            {askedApp(commit2, refreshed(3, commit1)), false, 3, 6},
		"and not within the bound":   {askedApp(commit2, refreshed(31, commit1)), false, 31, 0},
		"long ago":                   {askedApp(commit2, refreshed(1, commit1)), false, 61, 0},
		"never compared":             {askedApp(commit2, nil), false, 0, 1},
		"no commit is awaited":       {askedApp("", refreshed(0, commit1)), false, 1, 0},
		"an image was pushed since":  {askedApp(commit2, all(refreshed(0, commit1), imageSince(-1))), false, 1, 1},
		"an image was pushed long after": {askedApp(commit2, all(refreshed(0, commit1), imageSince(-60))), false,
			1, 0},
		"asked again by a repeat of a request of long ago": {askedApp(commit2, all(refreshed(0, commit1), repeated)),
			false, 1, 1},
		"one of several sources has it": {askedApp(commit2, all(refreshed(0, ""), func(app *argov1alpha1.Application) {
			app.Spec.Sources = []argov1alpha1.ApplicationSource{*app.Spec.Source,
				source("https://git.acme.io/values", "x")}
			app.Status.Sync.Revisions = []string{commit2, commit1}
		})), false, 1, 0},
		"the hydrator has it": {askedApp(commit2, all(refreshed(0, commit1), func(app *argov1alpha1.Application) {
			app.Spec.SourceHydrator = &argov1alpha1.SourceHydrator{DrySource: *app.Spec.Source}
			app.Status.SourceHydrator.LastComparedDryRevision = commit2
		})), false, 1, 0},
		"the hydrator lacks it": {askedApp(commit2, all(refreshed(0, commit2), func(app *argov1alpha1.Application) {
			app.Spec.SourceHydrator = &argov1alpha1.SourceHydrator{DrySource: *app.Spec.Source}
			app.Status.SourceHydrator.CurrentOperation.DrySHA = commit1
		})), false, 1, 1},
		"lost":                                  {askedApp("", all(ignored(2.5), refreshed(2, commit1))), true, 2.6, 5},
		"asked while busy, and served after it": {askedApp("", all(ignored(2.5), refreshed(3, commit1))), true, 3, 0},
		"asked while busy, by a release that keeps requests": {askedApp("", refreshed(2, commit1)), true, 3, 0},
		"not requested by Postern": {askedApp("", func(app *argov1alpha1.Application) {
			delete(app.Annotations, AnnotationRequestedAt)
			ignored(0)(app)
		}), true, 1, 0},
		"requested in the future": {askedApp(commit2, refreshed(0, commit1)), false, -61, 0},
		"a time in the annotation that is none": {askedApp(commit2, func(app *argov1alpha1.Application) {
			app.Annotations[AnnotationRequestedAt] = "soon"
		}), false, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRefresher(client{}, nil)
			defer r.queue.ShutDown()
			r.now = func() time.Time { return atSecond(test.now) }
			if test.overlapping {
				r.setOverlapping(applicationKey(test.app))
			}
			trim(t, test.app)
			due, wanted := r.due(test.app)
			if got := due.Sub(atSecond(0)).Seconds(); wanted != (test.want > 0) || wanted && got != test.want {
				t.Errorf("due after %g s, %v; want %g", got, wanted, test.want)
			}
		})
	}
}

// The status of an Application shows only the commits of what its sources track.
func TestRefreshAgain_AwaitsTrackedCommit(t *testing.T) {
	sourceOf := func(change func(*argov1alpha1.ApplicationSource)) argov1alpha1.ApplicationSource {
		s := source(shop, "main")
		change(&s)
		return s
	}
	atMain, atHead := source(shop, "main"), source(shop, "HEAD")
	without := sourceOf(func(s *argov1alpha1.ApplicationSource) { s.TargetRevision = nil })
	chart := sourceOf(func(s *argov1alpha1.ApplicationSource) { s.Chart = "shop" })
	moves := map[string]string{AnnotationUpdateTargetRevision: "true"}
	unknown := func(r Request) Request { return withRepository("", r) }
	for name, test := range map[string]struct {
		annotations map[string]string
		sources     []argov1alpha1.ApplicationSource
		request     Request
		commit      string
		want        bool
	}{
		"the tracked branch": {nil, []argov1alpha1.ApplicationSource{atMain}, branch("main"), commit2, true},
		"by its full name": {nil, []argov1alpha1.ApplicationSource{source(shop, "refs/heads/main")}, branch("main"),
			commit2, true},
		"another branch":       {nil, []argov1alpha1.ApplicationSource{atMain}, branch("dev"), commit2, false},
		"one that it moves to": {moves, []argov1alpha1.ApplicationSource{atMain}, branch("dev"), commit2, true},
		"of another repository": {nil, []argov1alpha1.ApplicationSource{atMain}, withRepository(values, branch("main")),
			commit2, false},
		"of another repository, to which it moves": {moves, []argov1alpha1.ApplicationSource{atMain},
			withRepository(values, branch("dev")), commit2, false},
		"of an unknown repository": {nil, []argov1alpha1.ApplicationSource{atMain}, unknown(branch("main")), commit2,
			true},
		"of the second source": {nil, []argov1alpha1.ApplicationSource{source(values, "v1"), atMain}, branch("main"),
			commit2, true},
		"an abbreviated commit": {nil, []argov1alpha1.ApplicationSource{atMain}, branch("main"), "2222222", false},
		"no commit":             {nil, []argov1alpha1.ApplicationSource{atMain}, branch("main"), "", false},
		"HEAD, the default branch": {nil, []argov1alpha1.ApplicationSource{atHead}, defaultBranch("trunk"), commit2,
			true},
		"HEAD, another branch": {nil, []argov1alpha1.ApplicationSource{atHead}, branch("dev"), commit2, false},
		"HEAD, a tag":          {nil, []argov1alpha1.ApplicationSource{atHead}, tag("v1"), commit2, false},
		"no ref, the default branch": {nil, []argov1alpha1.ApplicationSource{without}, defaultBranch("trunk"), commit2,
			true},
		"no ref, another branch": {nil, []argov1alpha1.ApplicationSource{without}, branch("dev"), commit2, false},
		"a tag of a range": {moves, []argov1alpha1.ApplicationSource{source(shop, "1.x")}, ifFollowed(tag("1.2.0")),
			commit2, false},
		"a chart": {nil, []argov1alpha1.ApplicationSource{chart}, branch("main"), commit2, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := withEvent(test.request, func(e *postern.DeliveryEvent) { e.Revision = test.commit })
			r.At, r.Received = noon, noon
			app := applicationOf(test.annotations, test.sources...)
			document, _ := oneByOne(t, postern.TargetApplication, encode(t, app), r)
			again := r // a second webhook for the push, which is recorded
			again.At, again.Received = noon.Add(time.Second), noon.Add(time.Second)
			document = mustApply(t, document, decideShared(t, appOf(t, document), again).Patch)
			want := ""
			if test.want {
				want = test.commit
			}
			last := parseWatermarks(appOf(t, document).Annotations)[slotOf(postern.TargetApplication, r)]
			if last.Commit != want || last.Received.IsZero() {
				t.Errorf("got %+v, want the commit %q", last, want)
			}
		})
	}
}

// A push of another repository, or of an image, does not end the requests for a commit that git does not serve yet.
func TestRefreshAgain_AsksForEachSlot(t *testing.T) {
	app := applicationOf(nil, source(shop, "main"), source(values, "main"))
	toShop := withEvent(branch("main"), func(e *postern.DeliveryEvent) { e.Revision = commit1 })
	toValues := withEvent(withRepository(values, branch("main")),
		func(e *postern.DeliveryEvent) { e.Revision = commit2 })
	pushedImage := withImage(t, "nginx:2", event("", "quay.io", 0, 0))
	requests := []Request{toShop, toValues, pushedImage}
	for i := range requests {
		requests[i].At, requests[i].Received = atSecond(float64(i)), atSecond(float64(i))
	}
	document, _ := oneByOne(t, postern.TargetApplication, encode(t, app), requests...)
	for name, test := range map[string]struct {
		shows []string
		want  bool
	}{
		"the first is missing":  {[]string{"0", commit2}, true},
		"the second is missing": {[]string{commit1, "0"}, true},
		"none is missing":       {[]string{commit1, commit2}, false},
	} {
		after := appOf(t, document)
		delete(after.Annotations, argov1alpha1.AnnotationRefresh) // Argo CD has served the requests
		after.Status.Sync.Revisions = test.shows
		after.Status.ReconciledAt = &metav1.Time{Time: atSecond(3)}
		r := newRefresher(client{}, nil)
		r.now = func() time.Time { return atSecond(4) }
		if _, wanted := r.due(after); wanted != test.want {
			t.Errorf("%s: asked again: %v", name, wanted)
		}
		r.queue.ShutDown()
	}
}

// However Argo CD answers, it is asked a bounded number of times.
func TestRefreshAgain_IsBounded(t *testing.T) {
	for _, release := range []string{"keeps the timestamp", "removes the timestamp", "fails before it compares"} {
		r, app, asked := newRefresher(client{}, nil), askedApp(commit2, refreshed(0, commit1)), 0
		r.now = func() time.Time { return atSecond(0) }
		for {
			due, wanted := r.due(app)
			if !wanted {
				break
			}
			asked++
			seconds := due.Sub(atSecond(0)).Seconds()
			r.now = func() time.Time { return due }
			r.setAsked(applicationKey(app))
			switch release {
			case "keeps the timestamp":
				ignored(seconds)(app)
			case "removes the timestamp":
				refreshed(seconds, commit1)(app)
			}
			if asked > 10 {
				t.Fatal("asked more than 10 times")
			}
		}
		r.queue.ShutDown()
		if asked < 5 || asked > 7 {
			t.Errorf("a release that %s is asked %d times", release, asked)
		}
	}
}

// lateShop is the Application demo/shop on the API server, for which a commit was requested a moment ago.
func lateShop(version int, commit, annotations, status string) string {
	return fmt.Sprintf(`{"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
		"metadata": {"name": "shop", "namespace": "demo", "resourceVersion": "%d", "annotations": {
			"postern.dev/requested-ref": "main", "postern.dev/requested-at": %q, "postern.dev/event-time": %q %s}},
		"spec": {"source": {"repoURL": "https://git.acme.io/shop", "targetRevision": "main"}}, "status": {%s}}`,
		version, time.Now().UTC().Format(time.RFC3339), fmt.Sprintf(`{"git": {"received": %q, "commit": %q}}`,
			time.Now().UTC().Format(time.RFC3339Nano), commit), annotations, status)
}

// startRefresher serves an Application, and asks Argo CD again until the test ends.
func startRefresher(t *testing.T, object string) *fakeAPIServer {
	t.Helper()
	api := newFakeAPIServer(t, object)
	api.path = "/apis/argoproj.io/v1alpha1/namespaces/demo/applications/shop"
	api.serve(applications, &answer{text: object})
	writer, _ := newTestWriter(t, api, startCache(t, api))
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- writer.RefreshAgain(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
	return api
}

func TestRefreshAgain_AsksWhileCommitIsMissing(t *testing.T) {
	api := startRefresher(t, lateShop(1, commit2, "", `"sync": {"revision": "`+commit1+`"}`))
	eventually(t, "asked again", func() bool {
		_, object := api.seen()
		return strings.Contains(object, `"argocd.argoproj.io/refresh":"normal"`) &&
			strings.Contains(object, argov1alpha1.AnnotationRefreshTimestamp)
	})
}

func TestRefreshAgain_AsksForLostRequest(t *testing.T) {
	const refresh = `, "argocd.argoproj.io/refresh": "normal"`
	timestamp := func(n int) string {
		return fmt.Sprintf(`, "argocd.argoproj.io/refresh-timestamp": %q`,
			time.Now().UTC().Add(time.Duration(n)).Format(time.RFC3339Nano))
	}
	second := timestamp(2)
	api := startRefresher(t, lateShop(1, "", refresh+timestamp(1), ""))
	after := lateShop(3, "", second, "")
	api.mu.Lock()
	api.set(after)
	api.mu.Unlock()
	for _, object := range []string{lateShop(2, "", refresh+second, ""), after} {
		api.events[applications] <- `{"type": "MODIFIED", "object": ` + strings.ReplaceAll(object, "\n", "") + `}`
	}
	eventually(t, "asked again", func() bool {
		_, object := api.seen()
		return strings.Contains(object, `"argocd.argoproj.io/refresh":"normal"`)
	})
}
