// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package real

import (
	"context"
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/testcluster"
)

const (
	mainBranch         = "refs/heads/main"
	refreshAnnotation  = "argocd.argoproj.io/refresh"
	updateOptIn        = `postern.dev/update-target-revision: "true"`
	followTags         = `postern.dev/follow-tags: "*"`
	followTagsAndWrite = followTags + ", " + updateOptIn
)

// newShop serves a repository with one ConfigMap and waits until Argo CD has synced the Application of it.
func (w *world) newShop(annotations string) *repository {
	w.T.Helper()
	r := w.newRepository("shop", map[string]string{"shop.yaml": configMap("shop", "1")})
	w.Create(applications, w.application("shop", source(r, ""), annotations))
	w.waitSynced("shop", r.git("rev-parse", "HEAD"))
	w.waitVersion("shop", "1")
	return r
}

// waitServed waits until Argo CD has removed the refresh annotation.
func (w *world) waitServed(application string) {
	w.T.Helper()
	w.Eventually(reactionTimeout, func() error {
		if value, found := w.Get(applications, application).GetAnnotations()[refreshAnnotation]; found {
			return fmt.Errorf("%s still has %s: %s", application, refreshAnnotation, value)
		}
		return nil
	})
}

func mustBeApplied(t *testing.T, d *v1alpha1.WebhookDelivery) {
	t.Helper()
	if d.Status.Phase != v1alpha1.DeliveryApplied {
		t.Fatalf("got phase %q, reason %q: %s", d.Status.Phase, d.Status.Reason, d.Status.Message)
	}
}

func TestArgoCD_PushToTrackedBranch(t *testing.T) {
	shared.needsArgoCD(t)
	w := newWorld(t)
	reacted := scenario(t, "Argo CD: push to the tracked branch")
	g, r := w.github(), w.newShop("")

	commit := r.commit(map[string]string{"shop.yaml": configMap("shop", "2")})
	d, answered := g.push(byGitHub, r, mainBranch, commit)

	mustBeApplied(t, d)
	w.waitSynced("shop", commit)
	reacted(answered)
	w.waitVersion("shop", "2")
	w.waitServed("shop")
}

func TestArgoCD_Tag(t *testing.T) {
	shared.needsArgoCD(t)
	w := newWorld(t)
	reacted := scenario(t, "Argo CD: tag with update-target-revision, pushed")
	g, r := w.github(), w.newShop(followTagsAndWrite)

	commit := r.commit(map[string]string{"shop.yaml": configMap("shop", "2")})
	r.git("tag", "v1.2.0")
	d, answered := g.push(byGitHub, r, "refs/tags/v1.2.0", commit)

	mustBeApplied(t, d)
	w.waitSynced("shop", commit)
	reacted(answered)
	w.waitVersion("shop", "2")
	w.checkRevision("shop", "v1.2.0")
}

func TestArgoCD_AnnotatedTagOfCI(t *testing.T) {
	shared.needsArgoCD(t)
	w := newWorld(t)
	reacted := scenario(t, "Argo CD: annotated tag with update-target-revision, told by CI")
	ci, r := w.ci(), w.newShop(updateOptIn)

	commit := r.commit(map[string]string{"shop.yaml": configMap("shop", "2")})
	r.tag("v1.2.0")
	d, answered := w.post(ci, toShop, `{"ref": "v1.2.0"}`, nil)

	mustBeApplied(t, d)
	w.waitSynced("shop", commit)
	reacted(answered)
	w.waitVersion("shop", "2")
	w.checkRevision("shop", "v1.2.0")
}

func (w *world) checkRevision(application, want string) {
	w.T.Helper()
	got, _, _ := unstructured.NestedString(w.Get(applications, application).Object, "spec", "source", "targetRevision")
	if got != want {
		w.T.Errorf("got targetRevision %q, want %q", got, want)
	}
}

func TestArgoCD_SeveralSources(t *testing.T) {
	shared.needsArgoCD(t)
	w := newWorld(t)
	reacted := scenario(t, "Argo CD: push to the second of two sources")
	g := w.github()
	first := w.newRepository("first", map[string]string{"first.yaml": configMap("first", "1")})
	second := w.newRepository("second", map[string]string{"second.yaml": configMap("second", "1")})
	w.Create(applications, w.application("shop", fmt.Sprintf("sources: [{repoURL: %q, path: ., targetRevision: main}, "+
		"{repoURL: %q, path: ., targetRevision: main}]", first.url, second.url), ""))
	unchanged := first.git("rev-parse", "HEAD")
	w.waitSynced("shop", unchanged, second.git("rev-parse", "HEAD"))

	commit := second.commit(map[string]string{"second.yaml": configMap("second", "2")})
	d, answered := g.push(byGitHub, second, mainBranch, commit)

	mustBeApplied(t, d)
	w.waitSynced("shop", unchanged, commit)
	reacted(answered)
	w.waitVersion("second", "2")
	w.waitVersion("first", "1")
}

func TestArgoCD_TwentyPushes(t *testing.T) {
	shared.needsArgoCD(t)
	w := newWorld(t)
	reacted := scenario(t, "Argo CD: twenty pushes in two seconds")
	g, r := w.github(), w.newShop("")

	const pushes = 20
	var commit string
	var answered time.Time
	pace := time.NewTicker(2 * time.Second / pushes)
	defer pace.Stop()
	for i := range pushes {
		commit = r.commit(map[string]string{"shop.yaml": configMap("shop", fmt.Sprint(i+2))})
		_, answered = g.push(byGitHub, r, mainBranch, commit)
		<-pace.C
	}

	w.waitSynced("shop", commit)
	reacted(answered)
	w.waitVersion("shop", fmt.Sprint(pushes+1))
}

// A CI job that requests its branch after each commit tells no commit, so all its requests are equal.
func TestArgoCD_SameRefAgain(t *testing.T) {
	shared.needsArgoCD(t)
	w := newWorld(t)
	reacted := scenario(t, "Argo CD: CI requests main again after each of three commits")
	ci, r := w.ci(), w.newShop("")

	for i := range 3 {
		version := fmt.Sprint(i + 2)
		commit := r.commit(map[string]string{"shop.yaml": configMap("shop", version)})
		_, answered := w.post(ci, toShop, `{"ref": "main"}`, nil)
		w.waitSynced("shop", commit)
		reacted(answered)
		w.waitVersion("shop", version)
	}
}

// A git host may send its webhook before all of its servers have the commit.
func TestArgoCD_PushBeforeGitServesIt(t *testing.T) {
	shared.needsArgoCD(t)
	for name, repeat := range map[string]func(*github, *repository, *v1alpha1.WebhookDelivery, string) time.Time{
		"sent again under another ID": func(g *github, r *repository, _ *v1alpha1.WebhookDelivery,
			commit string) time.Time {
			_, answered := g.push(byGitHub, r, mainBranch, commit)
			return answered
		},
		"redelivered": func(g *github, _ *repository, d *v1alpha1.WebhookDelivery, _ string) time.Time {
			g.MustKubectl(g.T, "", "create", "--filename=/dev/null", "--raw",
				testcluster.NamespacePath(g.Namespace)+"webhookdeliveries/"+d.Name+"/redeliver")
			return time.Now()
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			reacted := scenario(t, "Argo CD: push told before git serves it, "+name)
			g, r := w.github(), w.newShop("")
			before := r.git("rev-parse", "HEAD")
			commit := r.commit(map[string]string{"shop.yaml": configMap("shop", "2")})
			r.git("update-ref", mainBranch, before)
			d, _ := g.push(byGitHub, r, mainBranch, commit)
			w.waitServed("shop")
			w.waitSynced("shop", before)

			r.git("update-ref", mainBranch, commit)
			// A minute after the request, Postern no longer asks by itself.
			w.annotate("shop", `{"postern.dev/requested-at": "2026-04-01T00:00:00Z"}`)
			answered := repeat(g, r, d, commit)

			w.waitSynced("shop", commit)
			reacted(answered)
			w.waitVersion("shop", "2")
		})
	}
}

// Argo CD removes the refresh annotation when it has finished, also one that was written while it worked.
func TestArgoCD_PushWhileItRefreshes(t *testing.T) {
	shared.needsArgoCD(t)
	w := newWorld(t)
	reacted := scenario(t, "Argo CD: push while it refreshes for the one before")
	g := w.github()
	r := w.newRepository("shop", map[string]string{"shop.yaml": configMap("shop", "1")})
	slow := newGate(t, r.port)
	r.url = "git://127.0.0.1:" + slow.port + "/shop"
	w.Create(applications, w.application("shop", source(r, ""), ""))
	w.waitSynced("shop", r.git("rev-parse", "HEAD"))

	holding := slow.close()
	first := r.commit(map[string]string{"shop.yaml": configMap("shop", "2")})
	g.push(byGitHub, r, mainBranch, first)
	select {
	case <-holding: // git has answered what it had
	case <-time.After(reactionTimeout):
		t.Fatal("Argo CD does not ask git")
	}
	second := r.commit(map[string]string{"shop.yaml": configMap("shop", "3")})
	_, answered := g.push(byGitHub, r, mainBranch, second)
	slow.open()

	w.waitSynced("shop", second)
	reacted(answered)
	w.waitVersion("shop", "3")
}

// refreshByHand requests a refresh as Argo CD's own clients do.
func (w *world) refreshByHand(application string) {
	w.T.Helper()
	w.annotate(application, `{"`+refreshAnnotation+`":"normal"}`)
}

func TestArgoCD_WithoutPostern(t *testing.T) {
	a := shared.needsArgoCD(t)
	w := newWorld(t)
	r := w.newShop("")
	stop := func(t *testing.T) {
		if err := w.postern.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), testcluster.StartTimeout)
			defer cancel()
			if err := w.postern.Start(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	restart := func(t *testing.T) time.Time {
		if err := a.controller.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := a.controller.Start(); err != nil {
			t.Fatal(err)
		}
		return time.Now()
	}
	version := 1
	next := func() string {
		version++
		return r.commit(map[string]string{"shop.yaml": configMap("shop", fmt.Sprint(version))})
	}
	t.Run("goes on", func(t *testing.T) {
		w := w.in(t)
		reacted := scenario(t, "Argo CD: refreshed by hand while Postern is gone")
		stop(t)
		commit := next()
		asked := time.Now()
		w.refreshByHand("shop")
		w.waitSynced("shop", commit)
		reacted(asked)
	})
	t.Run("restarts with the exclusion", func(t *testing.T) {
		w := w.in(t)
		reacted := scenario(t, "Argo CD: restarted while Postern is gone, with resource.exclusions")
		t.Cleanup(shared.excludePostern(t))
		stop(t)
		commit := next()
		started := restart(t)
		w.refreshByHand("shop")
		w.waitSynced("shop", commit)
		reacted(started)
	})
	// Argo CD's cache of the cluster fails as a whole while the kube-apiserver still lists Postern's kinds.
	t.Run("restarts without it", func(t *testing.T) {
		w := w.in(t)
		reacted := scenario(t, "Argo CD: restarted while Postern is gone, without resource.exclusions")
		stop(t)
		commit := next()
		started := restart(t)
		w.Eventually(reactionTimeout, func() error {
			got := w.Get(applications, "shop")
			if _, asked := got.GetAnnotations()[refreshAnnotation]; !asked {
				w.refreshByHand("shop") // a request is also served with an error
			}
			revision, _, _ := unstructured.NestedString(got.Object, "status", "sync", "revision")
			if revision != commit {
				conditions, _, _ := unstructured.NestedSlice(got.Object, "status", "conditions")
				return fmt.Errorf("shop is at %q, want %s; conditions %v", revision, commit, conditions)
			}
			return nil
		})
		reacted(started)
	})
}

// in returns the same world for a subtest.
func (w *world) in(t *testing.T) *world { return &world{w.suite, w.Cluster.Sandbox(t, w.Namespace)} }
