// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package real

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
)

// applicationSet returns the manifest of an ApplicationSet whose generator is looked at once a day, unless Argo CD is
// asked. The generator is YAML in one line. Its Applications deploy a directory of the repository.
func (w *world) applicationSet(generator, name string, r *repository, path string) string {
	return fmt.Sprintf(`
apiVersion: argoproj.io/v1alpha1
kind: ApplicationSet
metadata: {name: apps}
spec:
  goTemplate: true
  generators: [%s]
  template:
    metadata: {name: %q}
    spec:
      project: default
      destination: {server: "https://kubernetes.default.svc", namespace: %s}
      source: {repoURL: %q, path: %q, targetRevision: main}
`, generator, name, w.Namespace, r.url, path)
}

// waitGenerated waits until the namespace has exactly the Applications.
func (w *world) waitGenerated(want ...string) {
	w.T.Helper()
	w.Eventually(reactionTimeout, func() error {
		list, err := w.Objects.Resource(applications).Namespace(w.Namespace).List(w.T.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		var got []string
		for i := range list.Items {
			got = append(got, list.Items[i].GetName())
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			return fmt.Errorf("the Applications are %q, want %q; the ApplicationSet: %v", got, want,
				w.Get(applicationSets, "apps").Object["status"])
		}
		return nil
	})
}

// directories returns a git generator for the directories of a repository.
func directories(r *repository) string {
	return fmt.Sprintf("{git: {repoURL: %q, revision: main, directories: [{path: apps/*}], requeueAfterSeconds: %d}}",
		r.url, 24*60*60)
}

func TestApplicationSet_NewDirectory(t *testing.T) {
	a := shared.needsArgoCD(t)
	w := newWorld(t)
	reacted := scenario(t, "Argo CD: new directory of an ApplicationSet")
	w.runApplicationSets(a)
	g := w.github()
	r := w.newRepository("apps", map[string]string{"apps/shop/shop.yaml": configMap("shop", "1")})
	w.Create(applicationSets, w.applicationSet(directories(r), "{{.path.basename}}", r, "{{.path.path}}"))
	w.waitGenerated("shop")

	commit := r.commit(map[string]string{"apps/till/till.yaml": configMap("till", "1")})
	d, answered := g.push(byGitHub, r, mainBranch, commit)

	mustBeApplied(t, d)
	w.waitGenerated("shop", "till")
	reacted(answered)
}

// A push while Argo CD looks at git for an earlier one is not lost.
func TestApplicationSet_PushWhileBusy(t *testing.T) {
	a := shared.needsArgoCD(t)
	w := newWorld(t)
	reacted := scenario(t, "Argo CD: push while an ApplicationSet is refreshed")
	w.runApplicationSets(a)
	g := w.github()
	r := w.newRepository("apps", map[string]string{"apps/shop/shop.yaml": configMap("shop", "1")})
	slow := newGate(t, r.port)
	r.url = "git://127.0.0.1:" + slow.port + "/apps"
	w.Create(applicationSets, w.applicationSet(directories(r), "{{.path.basename}}", r, "{{.path.path}}"))
	w.waitGenerated("shop")

	holding := slow.close()
	g.push(byGitHub, r, mainBranch, r.commit(map[string]string{"apps/till/till.yaml": configMap("till", "1")}))
	select {
	case <-holding:
	case <-t.Context().Done():
		t.Fatal("Argo CD did not look at git")
	}
	_, answered := g.push(byGitHub, r, mainBranch,
		r.commit(map[string]string{"apps/desk/desk.yaml": configMap("desk", "1")}))
	slow.open()

	w.waitGenerated("desk", "shop", "till")
	reacted(answered)
}

func TestApplicationSet_PullRequest(t *testing.T) {
	a := shared.needsArgoCD(t)
	w := newWorld(t)
	reacted := scenario(t, "Argo CD: pull request of an ApplicationSet")
	g := w.github()
	r := w.newRepository("apps", map[string]string{"shop.yaml": configMap("shop", "1")})
	var opened atomic.Bool
	host := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, req *http.Request) {
		if req.URL.Path != "/api/v3/repos/acme/shop/pulls" {
			http.NotFound(answer, req)
			return
		}
		pulls := "[]"
		if opened.Load() {
			pulls = `[{"number": 7, "state": "open", "title": "Horn", "user": {"login": "jane"}, "labels": [],
				"head": {"ref": "horn", "sha": "3f6c1d0a9b8e7f6a5d4c3b2a1908f7e6d5c4b3a2"}, "base": {"ref": "main"}}]`
		}
		answer.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprint(answer, pulls)
	}))
	defer host.Close()
	w.runApplicationSets(a, host.URL+"/")
	w.Create(applicationSets, w.applicationSet(fmt.Sprintf(
		"{pullRequest: {requeueAfterSeconds: 86400, github: {owner: acme, repo: shop, api: %q}}}", host.URL+"/"),
		"preview-{{.number}}", r, "."))
	w.waitReconciled()

	opened.Store(true)
	d, answered := g.send(byGitHub, "pull_request", string(uuid.NewUUID()), fmt.Sprintf(`{"action": "opened",
		"number": 7, "pull_request": {"head": {"sha": "3f6c1d0a9b8e7f6a5d4c3b2a1908f7e6d5c4b3a2"}},
		"repository": {"clone_url": %q}, "sender": {"login": "jane"}}`, host.URL+"/acme/shop.git"))

	mustBeApplied(t, d)
	w.waitGenerated("preview-7")
	reacted(answered)
}

// waitReconciled waits until Argo CD has run the generators once.
func (w *world) waitReconciled() {
	w.T.Helper()
	w.Eventually(reactionTimeout, func() error {
		status := fmt.Sprint(w.Get(applicationSets, "apps").Object["status"])
		if !strings.Contains(status, "ApplicationSetUpToDate") {
			return fmt.Errorf("the ApplicationSet is not reconciled: %s", status)
		}
		return nil
	})
}
