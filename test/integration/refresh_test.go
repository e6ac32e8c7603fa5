// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/storage/names"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/testcluster"
)

const (
	refresh          = "argocd.argoproj.io/refresh"
	refreshTimestamp = "argocd.argoproj.io/refresh-timestamp"
	appRequestedAt   = "postern.dev/requested-at"
)

// patchApp patches an Application as a client with this field manager.
func (w *world) patchApp(name, manager, patch string) {
	w.T.Helper()
	_, err := w.Objects.Resource(applications).Namespace(w.Namespace).Patch(w.T.Context(), name, types.MergePatchType,
		[]byte(patch), metav1.PatchOptions{FieldManager: manager})
	if err != nil {
		w.T.Fatal(err)
	}
}

// argoServes answers a request for a refresh as Argo CD does, with the commit that it found. Releases up to 3.5 leave
// the timestamp.
func (w *world) argoServes(name, revision string) {
	w.T.Helper()
	w.patchApp(name, "argocd-application-controller", fmt.Sprintf(`{"metadata": {"annotations": {%q: null, %q: null}},
		"status": {"reconciledAt": %q, "sync": {"status": "Synced", "revision": %q}}}`,
		refresh, refreshTimestamp, time.Now().UTC().Add(time.Second).Format(time.RFC3339), revision))
}

// requestedAgo makes the last request look as if it were that old, also to Postern. Postern asks Argo CD again by
// itself in the minute after a request.
func (w *world) requestedAgo(name string, age time.Duration) {
	w.T.Helper()
	w.patchApp(name, "test", fmt.Sprintf(`{"metadata": {"annotations": {%q: %q}}}`, appRequestedAt,
		time.Now().Add(-age).UTC().Format(time.RFC3339)))
	w.awaitSeen()
}

// awaitSeen waits until Postern has seen all earlier changes of Applications, which its watch delivers in order.
func (w *world) awaitSeen() {
	w.T.Helper()
	last := names.SimpleNameGenerator.GenerateName("last-")
	repository := "https://git.example.com/" + last
	w.Create(applications, strings.ReplaceAll(testcluster.Application(last), "https://github.com/example/shop.git",
		repository))
	w.eventually(func() error {
		d := w.kubectl(`{"apiVersion": "postern.dev/v1alpha1", "kind": "WebhookDelivery",
			"metadata": {"generateName": "seen-"},
			"spec": {"payload": {"ref": "main", "repository": "`+repository+`"}}}`,
			"create", "--dry-run=server", "--filename=-", "--output=json")
		if !strings.Contains(d, `"name": "`+last+`"`) {
			return fmt.Errorf("Postern does not know %s yet: %s", last, d)
		}
		return nil
	})
}

func (w *world) mustRefresh(name, why string) {
	w.T.Helper()
	got := w.annotations(applications, name)
	at, err := time.Parse(time.RFC3339, got[appRequestedAt])
	if got[refresh] != "normal" || got[refreshTimestamp] == "" || err != nil || time.Since(at) > time.Minute {
		w.T.Errorf("%s: the annotations are %v, want a refresh", why, got)
	}
}

// The CI job of a user delivers after each commit.
func TestRefresh_RefWithoutCommit(t *testing.T) {
	w := newWorld(t)
	w.application("shop", nil)
	ci := w.ci()
	for i := range 3 {
		d := ci.mustPost(t, applicationPath("shop"), `{"ref": "main"}`, nil, http.StatusAccepted).delivery(t)
		checkOutcome(t, d, v1alpha1.DeliveryApplied, "Requested")
		w.mustRefresh("shop", fmt.Sprint("delivery ", i))
		w.argoServes("shop", firstCommit)
	}
}

// A webhook may arrive before git serves its commit.
func TestRefresh_SameCommitAgain(t *testing.T) {
	w := newWorld(t)
	w.application("shop", nil)
	ci := w.ci()
	header := func(id string) map[string]string {
		return map[string]string{"X-GitHub-Event": "push", "X-GitHub-Delivery": id}
	}
	first := w.concluded(ci.mustPost(t, applicationPath("shop"), push(firstCommit), header("a"),
		http.StatusAccepted).delivery(t).Name)
	for _, test := range []struct {
		name string
		act  func()
	}{
		{"redelivered by the sender", func() {
			checkRepeat(t, ci.mustPost(t, applicationPath("shop"), push(firstCommit), header("a"),
				http.StatusAccepted).delivery(t), first)
		}},
		{"under another id", func() {
			d := ci.mustPost(t, applicationPath("shop"), push(firstCommit), header("b"),
				http.StatusAccepted).delivery(t)
			checkOutcome(t, d, v1alpha1.DeliveryApplied, "Requested")
		}},
		{"redelivered by a user", func() {
			w.kubectl("", "create", "--filename=/dev/null", "--raw",
				w.absolute("webhookdeliveries/"+first.Name+"/redeliver"))
		}},
	} {
		w.argoServes("shop", secondCommit) // git does not serve the first one yet
		w.requestedAgo("shop", 2*time.Minute)
		test.act()
		w.mustRefresh("shop", test.name)
	}
	w.eventually(func() error { // a slow machine may take longer than a repeat at once may
		w.requestedAgo("shop", 0)
		before := w.Get(applications, "shop").GetResourceVersion()
		ci.mustPost(t, applicationPath("shop"), push(firstCommit), header(names.SimpleNameGenerator.GenerateName("c-")),
			http.StatusAccepted)
		if w.Get(applications, "shop").GetResourceVersion() != before {
			return errors.New("a repeat at once changes the Application")
		}
		return nil
	})
}

// A repeat refreshes what still holds the ref, and never brings back what was replaced.
func TestRefresh_RepeatKeepsOrder(t *testing.T) {
	w := newWorld(t)
	w.application("shop", map[string]string{"postern.dev/update-target-revision": "true"})
	ci := w.ci()
	body := releaseOf(shopRepository, "v1", earlier)
	first := w.concluded(ci.mustPost(t, applicationPath("shop"), body, numbered("a"),
		http.StatusAccepted).delivery(t).Name)
	ci.mustPost(t, applicationPath("shop"), releaseOf(shopRepository, "v2", later), numbered("b"), http.StatusAccepted)
	w.argoServes("shop", firstCommit)
	w.requestedAgo("shop", 2*time.Minute)
	before := w.Get(applications, "shop")
	checkRepeat(t, ci.mustPost(t, applicationPath("shop"), body, numbered("a"), http.StatusAccepted).delivery(t), first)
	w.mustBeUntouched(applications, before)
}

func TestRefresh_Hydrator(t *testing.T) {
	w := newWorld(t)
	w.Create(applications, hydrated)
	w.ci().mustPost(t, applicationPath("hydrated"), push(firstCommit), nil, http.StatusAccepted)
	w.mustRefresh("hydrated", "a push")
	got := w.annotations(applications, "hydrated")
	if got["argocd.argoproj.io/hydrate"] != "normal" || got["argocd.argoproj.io/hydrate-timestamp"] == "" {
		t.Errorf("the annotations are %v, want a hydration", got)
	}
}

func TestRefresh_ChartTakesVersion(t *testing.T) {
	w := newWorld(t)
	w.Create(applications, `
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: chart, annotations: {postern.dev/update-target-revision: "true"}}
spec:
  project: default
  destination: {server: "https://kubernetes.default.svc", namespace: shop}
  source: {repoURL: "https://charts.example.com", chart: shop, targetRevision: 1.2.3}`)
	ci := w.ci()
	for _, test := range []struct{ ref, want string }{{"main", "1.2.3"}, {"v2", "1.2.3"}, {"2.0.0", "2.0.0"}} {
		d := ci.mustPost(t, applicationPath("chart"), `{"ref": "`+test.ref+`"}`, nil, http.StatusAccepted).delivery(t)
		got := in[string](w.Get(applications, "chart").Object, "spec", "source", "targetRevision")
		if says := strings.Contains(d.Status.Message, "is no semantic version"); got != test.want ||
			says != (test.want != test.ref) {
			t.Errorf("%s: targetRevision is %s, and the message %q", test.ref, got, d.Status.Message)
		}
	}
}

// Argo CD up to 3.5 removes the annotation of a request that came while it worked on an earlier one.
func TestRefresh_LostRequestIsMadeAgain(t *testing.T) {
	w := newWorld(t)
	w.application("shop", nil)
	ci := w.ci()
	ci.mustPost(t, applicationPath("shop"), `{"ref": "main"}`, nil, http.StatusAccepted)
	w.mustRefresh("shop", "the first")
	ci.mustPost(t, applicationPath("shop"), `{"ref": "main"}`, nil, http.StatusAccepted) // Argo CD is busy
	w.patchApp("shop", "argocd-application-controller", fmt.Sprintf(`{"metadata": {"annotations": {%q: null}},
		"status": {"reconciledAt": %q}}`, refresh, time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)))
	w.eventually(func() error {
		if w.annotations(applications, "shop")[refresh] != "normal" {
			return errors.New("Argo CD is not asked again")
		}
		return nil
	})
}

func TestRefresh_AgainUntilCommitIsServed(t *testing.T) {
	w := newWorld(t)
	w.application("shop", nil)
	w.patchApp("shop", "test", `{"spec": {"source": {"targetRevision": "release"}}}`)
	w.ci().mustPost(t, applicationPath("shop"), push(secondCommit), nil, http.StatusAccepted)
	for range 2 {
		w.mustRefresh("shop", "asked")
		w.argoServes("shop", firstCommit) // git has no newer one yet
		w.eventually(func() error {
			if w.annotations(applications, "shop")[refresh] != "normal" {
				return errors.New("Argo CD is not asked again")
			}
			return nil
		})
	}
}
