// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package real

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/testcluster"
)

var applicationSets = testcluster.ApplicationSets

// keptByApplicationSet is what an owner adds to an ApplicationSet, so that it keeps what Postern writes.
const keptByApplicationSet = `
  preservedFields:
    annotations:
    - postern.dev/requested-ref
    - postern.dev/requested-at
    - postern.dev/requested-by
    - postern.dev/requested-revision
    - postern.dev/event-time
    - postern.dev/hold
    - argocd.argoproj.io/refresh-timestamp
  ignoreApplicationDifferences:
  - jsonPointers: [/spec/source/targetRevision, /spec/source/kustomize, /spec/source/helm]
`

// runApplicationSets runs Argo CD's controller of ApplicationSets for the duration of the test. Pull request generators
// may ask the given git hosts.
func (w *world) runApplicationSets(a *argocd, hosts ...string) {
	w.T.Helper()
	probes, allowed := freePort(w.T), append(hosts, "https://x.invalid")
	controller := w.RunProgram(w.T, w.argocdProgram(w.T, "argocd-applicationset-controller",
		"--argocd-repo-server=127.0.0.1:"+a.repoServerPort, "--repo-server-plaintext",
		"--metrics-addr=127.0.0.1:"+freePort(w.T), "--probe-addr=127.0.0.1:"+probes,
		"--webhook-addr=127.0.0.1:"+freePort(w.T),
		"--applicationset-namespaces=*", "--allowed-scm-providers="+strings.Join(allowed, ","),
	))
	w.waitForPort(probes, controller)
}

// newShopOfSet is newShop with an ApplicationSet that makes the Application. more is part of its specification.
func (w *world) newShopOfSet(more string) *repository {
	w.T.Helper()
	r := w.newRepository("shop", map[string]string{"shop.yaml": configMap("shop", "1")})
	w.Create(applicationSets, fmt.Sprintf(`
apiVersion: argoproj.io/v1alpha1
kind: ApplicationSet
metadata: {name: shops}
spec:%s
  generators: [{list: {elements: [{name: shop}]}}]
  template:
    metadata: {name: "{{name}}", annotations: {%s}}
    spec:
      project: default
      destination: {server: "https://kubernetes.default.svc", namespace: %s}
      syncPolicy: {automated: {prune: true}}
      %s
`, more, followTagsAndWrite, w.Namespace, source(r, "")))
	w.Eventually(reactionTimeout, func() error {
		_, err := w.Objects.Resource(applications).Namespace(w.Namespace).Get(w.T.Context(), "shop",
			metav1.GetOptions{})
		return err
	})
	w.waitSynced("shop", r.git("rev-parse", "HEAD"))
	return r
}

// reconcileSet lets the ApplicationSet controller work once more.
func (w *world) reconcileSet() {
	w.T.Helper()
	const refresh = "argocd.argoproj.io/application-set-refresh"
	w.MustKubectl(w.T, "", "annotate", "applicationset/shops", "--namespace="+w.Namespace, refresh+"=true")
	w.Eventually(reactionTimeout, func() error {
		if _, found := w.Get(applicationSets, "shops").GetAnnotations()[refresh]; found {
			return fmt.Errorf("the ApplicationSet is not reconciled")
		}
		return nil
	})
}

// pushTag tags a new commit of the shop and reports it, and returns when Postern answered.
func (g *github) pushTag(r *repository, tag string) (commit, delivery string, answered time.Time) {
	g.T.Helper()
	commit = r.commit(map[string]string{"shop.yaml": configMap("shop", tag)})
	r.git("tag", tag)
	d, answered := g.push(byGitHub, r, "refs/tags/"+tag, commit)
	mustBeApplied(g.T, d)
	return commit, d.Name, answered
}

// waitTakenBack waits until the Application has its old targetRevision again, and the record of the delivery says so.
func (w *world) waitTakenBack(delivery string) {
	w.T.Helper()
	w.Eventually(reactionTimeout, func() error {
		revision, _, _ := unstructured.NestedString(w.Get(applications, "shop").Object, "spec", "source",
			"targetRevision")
		if revision != "main" {
			return fmt.Errorf("the Application is at %q", revision)
		}
		record, err := w.Deliveries.PosternV1alpha1().WebhookDeliveries(w.Namespace).Get(w.T.Context(), delivery,
			metav1.GetOptions{})
		if err != nil {
			return err
		}
		if !meta.IsStatusConditionFalse(record.Status.Conditions, v1alpha1.ConditionKept) {
			return fmt.Errorf("the record has the conditions %v, want Kept to be false", record.Status.Conditions)
		}
		return nil
	})
}

func TestArgoCD_ApplicationSetKeepsATag(t *testing.T) {
	a := shared.needsArgoCD(t)
	w := newWorld(t)
	reacted := scenario(t, "Argo CD: tag, kept by an ApplicationSet with the documented fields")
	w.runApplicationSets(a)
	g, r := w.github(), w.newShopOfSet(keptByApplicationSet)

	commit, _, answered := g.pushTag(r, "v1.2.0")

	w.waitSynced("shop", commit)
	reacted(answered)
	w.reconcileSet()
	w.checkRevision("shop", "v1.2.0")
}

func TestArgoCD_ApplicationSetTakesATagBack(t *testing.T) {
	a := shared.needsArgoCD(t)
	w := newWorld(t)
	reacted := scenario(t, "Argo CD: tag, taken back by an ApplicationSet, and the record says so")
	w.runApplicationSets(a)
	g, r := w.github(), w.newShopOfSet("")

	_, delivery, answered := g.pushTag(r, "v1.2.0")

	w.waitTakenBack(delivery)
	reacted(answered)
}

// newShopOfApps is newShop with a parent Application, which heals itself and creates the other. more is part of the
// parent's specification.
func (w *world) newShopOfApps(syncOptions, more string) *repository {
	w.T.Helper()
	r := w.newRepository("shop", map[string]string{"shop.yaml": configMap("shop", "1")})
	apps := w.newRepository("apps", map[string]string{
		"shop.yaml": w.application("shop", source(r, ""), followTagsAndWrite),
	})
	w.Create(applications, fmt.Sprintf(`
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: apps}
spec:
  project: default
  destination: {server: "https://kubernetes.default.svc", namespace: %s}
  syncPolicy: {automated: {selfHeal: true}, syncOptions: [%s]}
  %s
  %s
`, w.Namespace, syncOptions, source(apps, ""), more))
	w.waitSynced("apps", apps.git("rev-parse", "HEAD"))
	w.waitSynced("shop", r.git("rev-parse", "HEAD"))
	return r
}

func TestArgoCD_ParentKeepsATag(t *testing.T) {
	shared.needsArgoCD(t)
	w := newWorld(t)
	reacted := scenario(t, "Argo CD: tag, kept by a self-healing parent with the documented fields")
	g := w.github()
	r := w.newShopOfApps("RespectIgnoreDifferences=true", `ignoreDifferences:
  - group: argoproj.io
    kind: Application
    jsonPointers: [/spec/source/targetRevision]
    jqPathExpressions: [.spec.source.kustomize.images, .spec.source.helm.parameters]
`)

	commit, _, answered := g.pushTag(r, "v1.2.0")

	w.waitSynced("shop", commit)
	reacted(answered)
	w.annotate("apps", `{"`+refreshAnnotation+`":"hard"}`)
	w.waitServed("apps")
	w.checkRevision("shop", "v1.2.0")
}

func TestArgoCD_ParentTakesATagBack(t *testing.T) {
	shared.needsArgoCD(t)
	w := newWorld(t)
	reacted := scenario(t, "Argo CD: tag, taken back by a self-healing parent, and the record says so")
	g := w.github()
	r := w.newShopOfApps("", "")

	_, delivery, answered := g.pushTag(r, "v1.2.0")

	w.waitTakenBack(delivery)
	reacted(answered)
}

// The hydrator looks at the dry source only if it is asked.
func TestArgoCD_SourceHydrator(t *testing.T) {
	a := shared.needsArgoCD(t)
	w := newWorld(t)
	reacted := scenario(t, "Argo CD: push to the dry source of a hydrator")
	commitServer := w.RunProgram(t, w.argocdProgram(t, "argocd-commit-server",
		"--address=127.0.0.1", "--port="+a.commitServerPort,
		"--metrics-address=127.0.0.1", "--metrics-port="+freePort(t)))
	w.waitForPort(a.commitServerPort, commitServer)
	g := w.github()
	r := w.newRepository("shop", map[string]string{"dry/shop.yaml": configMap("shop", "1")})
	w.Create(applications, w.application("shop", fmt.Sprintf(`sourceHydrator:
    drySource: {repoURL: %q, path: dry, targetRevision: main}
    syncSource: {targetBranch: hydrated, path: shop}`, r.url), ""))
	w.waitVersion("shop", "1")

	commit := r.commit(map[string]string{"dry/shop.yaml": configMap("shop", "2")})
	d, answered := g.push(byGitHub, r, mainBranch, commit)

	mustBeApplied(t, d)
	w.waitVersion("shop", "2")
	reacted(answered)
}
