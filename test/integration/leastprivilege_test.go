// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"postern.dev/postern/test/testcluster"
)

// asPostern returns a client with Postern's ServiceAccount and all RBAC permissions, so that only admission policies
// reject its requests.
func (w *world) asPostern() dynamic.Interface {
	w.T.Helper()
	config := w.RESTConfig()
	config.Impersonate = rest.ImpersonationConfig{UserName: posternUser, Groups: []string{"system:masters"}}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		w.T.Fatal(err)
	}
	return client
}

// refusedByPolicy returns an error unless an admission policy has rejected a request.
func refusedByPolicy(err error) error {
	if err == nil {
		return fmt.Errorf("it is allowed")
	}
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "ValidatingAdmissionPolicy 'postern-") ||
		!strings.Contains(err.Error(), "Postern's ServiceAccount may ") {
		return fmt.Errorf("not rejected by a policy: %w", err)
	}
	return nil
}

// change is a merge patch of an object, or a JSON patch if it starts with a bracket.
type change struct{ name, patch string }

func (c change) try(ctx context.Context, objects dynamic.ResourceInterface, object string,
	subresources ...string) error {
	kind := types.MergePatchType
	if strings.HasPrefix(c.patch, "[") {
		kind = types.JSONPatchType
	}
	_, err := objects.Patch(ctx, object, kind, []byte(c.patch), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}},
		subresources...)
	return err
}

// mustOnlyAllow fails the test unless Postern's ServiceAccount may make exactly the allowed changes.
func (w *world) mustOnlyAllow(objects dynamic.ResourceInterface, object string, allowed, refused []change) {
	w.T.Helper()
	w.eventually(func() error { // policies take effect with a delay
		return refusedByPolicy(refused[0].try(w.T.Context(), objects, object))
	})
	for _, c := range allowed {
		w.T.Run(c.name, func(t *testing.T) {
			if err := c.try(t.Context(), objects, object); err != nil {
				t.Error(err)
			}
		})
	}
	for _, c := range refused {
		w.T.Run(c.name, func(t *testing.T) {
			if err := refusedByPolicy(c.try(t.Context(), objects, object)); err != nil {
				t.Error(err)
			}
		})
	}
}

// ofAnyObject are changes that Postern makes to no object.
var ofAnyObject = []change{
	{"a label", `{"metadata": {"labels": {"team": "b"}}}`},
	{"no labels", `{"metadata": {"labels": null}}`},
	{"a finalizer", `{"metadata": {"finalizers": ["example.com/keep"]}}`},
	{"an owner", `{"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": ` +
		`"1"}]}}`},
	{"an annotation of another client", `{"metadata": {"annotations": {"example.com/note": "b"}}}`},
	{"removal of another client's annotation", `{"metadata": {"annotations": {"example.com/note": null}}}`},
	{"no annotations", `{"metadata": {"annotations": null}}`},
	{"another annotation", `{"metadata": {"annotations": {"example.com/new": "b"}}}`},
	{"an opt-in of the owner", `{"metadata": {"annotations": {"postern.dev/follow-tags": "*"}}}`},
	{"an opt-out of the owner", `{"metadata": {"annotations": {"postern.dev/hold-rollbacks": "false"}}}`},
	{"a field outside spec", `{"status": {"conditions": []}}`},
}

func TestLeastPrivilege_GatewaySync(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.kubectl("", "annotate", "gatewaysync", "web", "example.com/note=a")
	w.kubectl("", "label", "gatewaysync", "web", "team=a")
	objects := w.asPostern().Resource(gatewaySyncs).Namespace(w.Namespace)
	w.mustOnlyAllow(objects, "web", []change{
		{"a request", `{"metadata": {"annotations": {"stoker.io/requested-ref": "v1", "stoker.io/requested-at": "x",
			"stoker.io/requested-by": "github", "postern.dev/requested-revision": "1f",
			"postern.dev/event-time": "{}"}}}`},
	}, append([]change{
		{"the repository", `{"spec": {"git": {"repo": "https://example.com/other.git"}}}`},
		{"the ref", `{"spec": {"git": {"ref": "v1"}}}`},
		{"a mapping", `[{"op": "add", "path": "/spec/sync/profiles/default/mappings/-", "value": {"source": "c/", ` +
			`"destination": "d/"}}]`},
		{"paused", `{"spec": {"paused": true}}`},
	}, ofAnyObject[:len(ofAnyObject)-1]...)) // its status is a subresource
	w.mayNeitherCreateNorDelete(objects, "web", "status")
}

func TestLeastPrivilege_ApplicationSet(t *testing.T) {
	w := newWorld(t)
	w.Create(applicationSets, testcluster.ApplicationSet("apps"))
	w.kubectl("", "annotate", "applicationset", "apps", "example.com/note=a")
	w.kubectl("", "label", "applicationset", "apps", "team=a")
	objects := w.asPostern().Resource(applicationSets).Namespace(w.Namespace)
	w.mustOnlyAllow(objects, "apps", []change{
		{"a refresh", `{"metadata": {"annotations": {"argocd.argoproj.io/application-set-refresh": "true"}}}`},
	}, append([]change{
		{"the repository", `[{"op": "replace", "path": "/spec/generators/0/git/repoURL", "value": "https://a.b"}]`},
		{"a generator", `[{"op": "add", "path": "/spec/generators/-", "value": {"list": {"elements": []}}}]`},
		{"the template", `[{"op": "replace", "path": "/spec/template/spec/project", "value": "other"}]`},
		{"a ref", `{"metadata": {"annotations": {"postern.dev/requested-ref": "v1"}}}`},
		{"a hold", `{"metadata": {"annotations": {"postern.dev/hold": "RolledBack: x"}}}`},
		{"what it follows", `{"metadata": {"annotations": {"postern.dev/follow-repositories": "*"}}}`},
	}, ofAnyObject[:len(ofAnyObject)-1]...)) // its status is a subresource
	w.mayNeitherCreateNorDelete(objects, "apps", "status")
}

// A target is held after a rollback by hand, also if its owner has released it by "false", and is never released.
func TestLeastPrivilege_Hold(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.application("shop", nil)
	hold := []change{{"a hold", `{"metadata": {"annotations": {"postern.dev/hold": "RolledBack: x"}}}`}}
	other := []change{{"another annotation", `{"metadata": {"annotations": {"postern.dev/held": "x"}}}`}}
	release := []change{
		{"another hold", `{"metadata": {"annotations": {"postern.dev/hold": "x"}}}`},
		{"a release", `{"metadata": {"annotations": {"postern.dev/hold": "false"}}}`},
		{"a release with a request",
			`{"metadata": {"annotations": {"postern.dev/hold": null, "postern.dev/event-time": "{}"}}}`},
		{"no hold", `{"metadata": {"annotations": {"postern.dev/hold": null}}}`},
	}
	for _, target := range []struct {
		resource schema.GroupVersionResource
		name     string
	}{{gatewaySyncs, "web"}, {applications, "shop"}} {
		objects := w.asPostern().Resource(target.resource).Namespace(w.Namespace)
		w.mustOnlyAllow(objects, target.name, hold, other)
		w.hold(target.resource.GroupResource().String(), target.name, "false")
		w.mustOnlyAllow(objects, target.name, hold, other)
		w.kubectl("", "annotate", "--overwrite", target.resource.GroupResource().String(), target.name, holdKey+"=true")
		w.mustOnlyAllow(objects, target.name, nil, release)
	}
}

// mayNeitherCreateNorDelete fails the test unless all operations except changes of an object itself are rejected.
func (w *world) mayNeitherCreateNorDelete(objects dynamic.ResourceInterface, object string, subresources ...string) {
	w.T.Helper()
	present, err := objects.Get(w.T.Context(), object, metav1.GetOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	another := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": present.GetAPIVersion(), "kind": present.GetKind(), "metadata": map[string]any{"name": "another"},
		"spec": present.Object["spec"],
	}}
	dry := []string{metav1.DryRunAll}
	_, err = objects.Create(w.T.Context(), another, metav1.CreateOptions{DryRun: dry})
	if err := refusedByPolicy(err); err != nil {
		w.T.Errorf("create: %v", err)
	}
	if err := refusedByPolicy(objects.Delete(w.T.Context(), object, metav1.DeleteOptions{DryRun: dry})); err != nil {
		w.T.Errorf("delete: %v", err)
	}
	for _, subresource := range subresources {
		if err := refusedByPolicy(change{patch: `{"status": {"message": "x"}}`}.try(w.T.Context(), objects, object,
			subresource)); err != nil {
			w.T.Errorf("%s: %v", subresource, err)
		}
	}
}

// several is an Application with all fields that Postern can change, and with two equal sources.
const several = `
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: several
  labels: {team: a}
  annotations: {example.com/note: a}
spec:
  project: default
  destination: {server: "https://kubernetes.default.svc", namespace: shop}
  syncPolicy: {automated: {prune: false}}
  sources:
  - {repoURL: "https://example.com/a.git", path: deploy, targetRevision: v1, kustomize: {namePrefix: a-,
      images: ["a:1"]}}
  - {repoURL: "https://example.com/b.git", chart: b, helm: {values: "x: 1", parameters: [{name: image.tag,
      value: "1"}]}}
  - {repoURL: "https://example.com/b.git", chart: b, helm: {values: "x: 1", parameters: [{name: image.tag,
      value: "1"}]}}
  - {repoURL: "https://example.com/c.git", path: ".", plugin: {name: p, env: [{name: TAG, value: "1"}]}}
`

func TestLeastPrivilege_Application(t *testing.T) {
	w := newWorld(t)
	w.Create(applications, several)
	objects := w.asPostern().Resource(applications).Namespace(w.Namespace)
	w.mustOnlyAllow(objects, "several", []change{
		{"a request",
			`{"metadata": {"annotations": {"postern.dev/requested-ref": "v1", "postern.dev/requested-revision": "1f",
			"postern.dev/requested-at": "x", "postern.dev/requested-by": "github", "postern.dev/event-time": "{}",
			"argocd.argoproj.io/refresh": "normal", "argocd.argoproj.io/refresh-timestamp": "x",
			"argocd.argoproj.io/hydrate": "normal", "argocd.argoproj.io/hydrate-timestamp": "x"}}}`},
		{"an image", `[{"op": "replace", "path": "/spec/sources/0/kustomize/images/0", "value": "a:2"}]`},
		{"another image", `[{"op": "add", "path": "/spec/sources/0/kustomize/images/-", "value": "b:2"}]`},
		{"a parameter", `[{"op": "replace", "path": "/spec/sources/1/helm/parameters/0", "value": {"name": ` +
			`"image.tag", "value": "2"}}]`},
		{"a variable", `[{"op": "replace", "path": "/spec/sources/3/plugin/env/0", "value": {"name": "TAG", "value": ` +
			`"2"}}]`},
		{"a first override", `[{"op": "add", "path": "/spec/sources/3/kustomize", "value": {"images": ["c:1"]}}]`},
	}, append([]change{
		{"a revision without opt-in", `[{"op": "replace", "path": "/spec/sources/0/targetRevision", "value": "v2"}]`},
		{"no revision", `[{"op": "remove", "path": "/spec/sources/0/targetRevision"}]`},
		{"the opt-in itself", `{"metadata": {"annotations": {"postern.dev/update-target-revision": "true"}}}`},
		{"a repository",
			`[{"op": "replace", "path": "/spec/sources/0/repoURL", "value": "https://example.com/x.git"}]`},
		{"a path", `[{"op": "replace", "path": "/spec/sources/0/path", "value": "x"}]`},
		{"a chart", `[{"op": "replace", "path": "/spec/sources/2/chart", "value": "x"}]`},
		{"a new field of a source", `[{"op": "add", "path": "/spec/sources/2/ref", "value": "x"}]`},
		{"no path", `[{"op": "remove", "path": "/spec/sources/0/path"}]`},
		{"Helm values", `[{"op": "replace", "path": "/spec/sources/1/helm/values", "value": "x: 2"}]`},
		{"more of Helm", `[{"op": "add", "path": "/spec/sources/1/helm/releaseName", "value": "x"}]`},
		{"less of Kustomize", `[{"op": "remove", "path": "/spec/sources/0/kustomize/namePrefix"}]`},
		{"no Helm", `[{"op": "remove", "path": "/spec/sources/1/helm"}]`},
		{"a first override that does more", `[{"op": "add", "path": "/spec/sources/3/kustomize", "value": {"images": ` +
			`[], "namePrefix": "x"}}]`},
		{"another plugin", `[{"op": "replace", "path": "/spec/sources/3/plugin/name", "value": "x"}]`},
		{"an added source", `[{"op": "add", "path": "/spec/sources/-", "value": {"repoURL": ` +
			`"https://example.com/x.git"}}]`},
		{"a removed source", `[{"op": "remove", "path": "/spec/sources/2"}]`},
		{"a duplicated source", `[{"op": "copy", "from": "/spec/sources/0", "path": "/spec/sources/2"}, {"op": ` +
			`"remove", "path": "/spec/sources/3"}]`},
		{"sources in another order", `[{"op": "move", "from": "/spec/sources/3", "path": "/spec/sources/0"}]`},
		{"no sources", `[{"op": "remove", "path": "/spec/sources"}]`},
		{"a single source in addition to several", `{"spec": {"source": {"repoURL": "https://example.com/x.git"}}}`},
		{"a hydrator", `{"spec": {"sourceHydrator": {"drySource": {"repoURL": "x", "targetRevision": "x", "path": ` +
			`"x"}, "syncSource": {"targetBranch": "live", "path": "x"}}}}`},
		{"the project", `{"spec": {"project": "other"}}`},
		{"the destination", `{"spec": {"destination": {"namespace": "kube-system"}}}`},
		{"the sync policy", `{"spec": {"syncPolicy": {"automated": {"prune": true}}}}`},
		{"removal of the sync policy", `{"spec": {"syncPolicy": null}}`},
		{"differences to ignore", `{"spec": {"ignoreDifferences": [{"kind": "Secret"}]}}`},
		{"an operation", `{"operation": {"sync": {"revision": "x"}}}`},
	}, ofAnyObject...))
	w.mayNeitherCreateNorDelete(objects, "several")
}

func TestLeastPrivilege_RevisionIfOptedIn(t *testing.T) {
	w := newWorld(t)
	optedIn := map[string]string{"postern.dev/update-target-revision": "true"}
	w.application("one", optedIn)
	w.Create(applications, hydrated)
	objects := w.asPostern().Resource(applications).Namespace(w.Namespace)
	w.mustOnlyAllow(objects, "one", []change{
		{"the revision", `{"spec": {"source": {"targetRevision": "v2"}}}`},
	}, []change{
		{"no opt-in", `{"metadata": {"annotations": {"postern.dev/update-target-revision": null}}}`},
		{"the repository with it", `{"spec": {"source": {"targetRevision": "v2", "repoURL": ` +
			`"https://example.com/x.git"}}}`},
		{"an added source", `{"spec": {"sources": [{"repoURL": "https://example.com/x.git"}]}}`},
		{"no source", `{"spec": {"source": null}}`},
	})
	w.mustOnlyAllow(objects, "hydrated", []change{
		{"the dry revision", `{"spec": {"sourceHydrator": {"drySource": {"targetRevision": "v2"}}}}`},
	}, []change{
		{"the dry repository", `{"spec": {"sourceHydrator": {"drySource": {"repoURL": "https://example.com/x.git"}}}}`},
		{"the branch to sync", `{"spec": {"sourceHydrator": {"syncSource": {"targetBranch": "x"}}}}`},
		{"a branch to hydrate to", `{"spec": {"sourceHydrator": {"hydrateTo": {"targetBranch": "x"}}}}`},
	})
}

const hydrated = `
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: hydrated, annotations: {postern.dev/update-target-revision: "true"}}
spec:
  project: default
  destination: {server: "https://kubernetes.default.svc", namespace: shop}
  sourceHydrator:
    drySource: {repoURL: "https://example.com/a.git", path: deploy, targetRevision: v1}
    syncSource: {targetBranch: live, path: deploy}
`

// A policy that exceeds its cost budget rejects the request, Postern's too.
func TestLeastPrivilege_LargestApplications(t *testing.T) {
	w := newWorld(t)
	objects := w.asPostern().Resource(applications).Namespace(w.Namespace)
	for name, test := range map[string]struct{ sources, parameters, annotations int }{
		"many-sources":     {256, 2, 10},
		"many-parameters":  {1, 4000, 10},
		"many-annotations": {1, 1, 2000},
		"some-of-all":      {40, 50, 300},
	} {
		t.Run(name, func(t *testing.T) {
			w := w.in(t)
			app := largeApplication(name, test.sources, test.parameters, test.annotations)
			text, err := yaml.Marshal(app)
			if err != nil {
				t.Fatal(err)
			}
			w.Create(applications, string(text))
			last := test.sources - 1
			w.mustOnlyAllow(objects, name, []change{{"Postern's own", fmt.Sprintf(`[
				{"op": "replace", "path": "/spec/sources/%[1]d/targetRevision", "value": "v2"},
				{"op": "replace", "path": "/spec/sources/%[1]d/helm/parameters/0", "value": {"name": "p0",
					"value": "2"}},
				{"op": "add", "path": "/metadata/annotations/postern.dev~1requested-ref", "value": "v2"}]`, last)}},
				[]change{{"more", fmt.Sprintf(`[{"op": "replace", "path": "/spec/sources/%d/path", "value": "x"}]`,
					last)}})
		})
	}
}

func largeApplication(name string, sources, parameters, annotations int) map[string]any {
	var all []any
	for range sources {
		var set []any
		for i := range parameters {
			set = append(set, map[string]any{"name": fmt.Sprintf("p%d", i), "value": "1"})
		}
		all = append(all, map[string]any{
			"repoURL": "https://example.com/a.git", "path": "deploy", "targetRevision": "v1",
			"helm": map[string]any{"parameters": set},
		})
	}
	notes := map[string]any{"postern.dev/update-target-revision": "true"}
	for i := range annotations {
		notes[fmt.Sprintf("example.com/note-%d", i)] = strings.Repeat("x", 50)
	}
	return map[string]any{
		"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
		"metadata": map[string]any{"name": name, "annotations": notes},
		"spec": map[string]any{
			"project":     "default",
			"destination": map[string]any{"server": "https://kubernetes.default.svc", "namespace": "shop"},
			"sources":     all,
		},
	}
}

func TestLeastPrivilege_OwnNamespaceAndAPIService(t *testing.T) {
	w := newWorld(t)
	system := schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	leases := schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}
	apiServices := schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}
	client := w.asPostern()
	for _, test := range []struct {
		resource schema.GroupVersionResource
		manifest string
	}{
		{system, `{apiVersion: v1, kind: Secret, metadata: {name: other}, type: kubernetes.io/tls, data: {tls.crt: ` +
			`"", tls.key: ""}}`},
		{system,
			`{apiVersion: v1, kind: Secret, metadata: {name: token,
				annotations: {kubernetes.io/service-account.name: postern}},
			type: kubernetes.io/service-account-token}`},
		{leases, `{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: other}}`},
	} {
		obj := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(test.manifest), &obj.Object); err != nil {
			t.Fatal(err)
		}
		_, err := client.Resource(test.resource).Namespace("postern-system").
			Create(t.Context(), obj, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err := refusedByPolicy(err); err != nil {
			t.Errorf("%s %s: %v", obj.GetKind(), obj.GetName(), err)
		}
	}
	w.mustOnlyAllow(client.Resource(apiServices), "v1alpha1.postern.dev", []change{
		{"the authorities", `{"spec": {"caBundle": "eA=="}}`},
	}, []change{
		{"the Service", `{"spec": {"service": {"namespace": "elsewhere"}}}`},
		{"the priority", `{"spec": {"groupPriorityMinimum": 2000}}`},
		{"no verification", `{"spec": {"insecureSkipTLSVerify": true, "caBundle": null}}`},
		{"a label", `{"metadata": {"labels": {"team": "b"}}}`},
	})
	w.mustOnlyAllow(client.Resource(apiServices), "v1.apps", nil,
		[]change{{"another APIService", `{"spec": {"versionPriority": 2}}`}})
}

func TestLeastPrivilege_OtherUsers(t *testing.T) {
	w := newWorld(t)
	w.Create(applications, several)
	objects := w.Objects.Resource(applications).Namespace(w.Namespace)
	if err := (change{patch: `{"spec": {"project": "other"}}`}).try(t.Context(), objects, "several"); err != nil {
		t.Errorf("the administrator is rejected: %v", err)
	}
}
