// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/yaml"
)

var (
	gatewaySyncs = schema.GroupVersionResource{Group: "stoker.io", Version: "v1alpha1", Resource: "gatewaysyncs"}
	applications = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "applications"}
)

// world is the namespace of one test, and the permissions in it.
type world struct {
	*suite
	t         *testing.T
	namespace string
}

// newWorld creates a namespace, named after the test, in the shared suite.
func newWorld(t *testing.T) *world { return shared.newWorld(t) }

func (s *suite) newWorld(t *testing.T) *world {
	t.Helper()
	prefix := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(t.Name()))
	ns, err := s.kube.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: prefix[:min(len(prefix), 40)] + "-"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return &world{suite: s, t: t, namespace: ns.Name}
}

// create creates an object from a manifest in this namespace.
func (w *world) create(resource schema.GroupVersionResource, manifest string) *unstructured.Unstructured {
	w.t.Helper()
	obj := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(manifest), &obj.Object); err != nil {
		w.t.Fatal(err)
	}
	created, err := w.objects.Resource(resource).Namespace(w.namespace).Create(w.t.Context(), obj, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return created
}

// gatewaySync creates a GatewaySync without a request.
func (w *world) gatewaySync(name string) {
	w.t.Helper()
	w.create(gatewaySyncs, gatewaySyncManifest(name))
}

func gatewaySyncManifest(name string) string {
	return `
apiVersion: stoker.io/v1alpha1
kind: GatewaySync
metadata: {name: ` + name + `}
spec:
  git: {repo: "https://github.com/example/plant.git", ref: main}
  gateway: {api: {secretName: key}}
  sync: {profiles: {default: {mappings: [{source: a/, destination: b/}]}}}`
}

// application creates an Application with one source, https://github.com/example/shop.git at main.
func (w *world) application(name string, annotations map[string]string) {
	w.t.Helper()
	obj := w.create(applications, `
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: `+name+`}
spec:
  project: default
  destination: {server: "https://kubernetes.default.svc", namespace: shop}
  source: {repoURL: "https://github.com/example/shop.git", path: deploy, targetRevision: main}`)
	if len(annotations) == 0 {
		return
	}
	obj.SetAnnotations(annotations)
	if _, err := w.objects.Resource(applications).Namespace(w.namespace).Update(w.t.Context(), obj, metav1.UpdateOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) get(resource schema.GroupVersionResource, name string) *unstructured.Unstructured {
	w.t.Helper()
	obj, err := w.objects.Resource(resource).Namespace(w.namespace).Get(w.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return obj
}

// secret sets the namespace's webhook secrets, each from newSecret. Postern sees them through a watch, with a delay.
func (w *world) secret(data map[string]string) {
	w.t.Helper()
	mustBeFindable(w.t, data)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "postern-webhook-secrets"}, StringData: data}
	secrets := w.kube.CoreV1().Secrets(w.namespace)
	if _, err := secrets.Create(w.t.Context(), secret, metav1.CreateOptions{}); err == nil {
		return
	}
	if err := secrets.Delete(w.t.Context(), secret.Name, metav1.DeleteOptions{}); err != nil {
		w.t.Fatal(err)
	}
	if _, err := secrets.Create(w.t.Context(), secret, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// allow permits the subject to create webhookdeliveries of the named objects of a resource, or of all.
func (w *world) allow(subject rbacv1.Subject, resource string, names ...string) {
	w.t.Helper()
	role, err := w.kube.RbacV1().Roles(w.namespace).Create(w.t.Context(), &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "sender-"},
		Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{"postern.dev"}, Resources: []string{resource + "/webhookdeliveries"},
			ResourceNames: names, Verbs: []string{"create"},
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.kube.RbacV1().RoleBindings(w.namespace).Create(w.t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "sender-"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects:   []rbacv1.Subject{subject},
	}, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// unauthenticated are callers without a cluster identity.
var unauthenticated = rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:unauthenticated"}

// serviceAccount creates a ServiceAccount and returns it as a subject, with a token.
func (w *world) serviceAccount(name string) (subject rbacv1.Subject, token string) {
	w.t.Helper()
	token, err := w.ServiceAccountToken(w.t.Context(), w.namespace, name, time.Hour)
	if err != nil {
		w.t.Fatal(err)
	}
	return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: w.namespace, Name: name}, token
}

// kubectl runs kubectl as the administrator in this namespace. The test fails if kubectl fails.
func (w *world) kubectl(stdin string, args ...string) string {
	w.t.Helper()
	out, err := w.Kubectl(w.t.Context(), stdin, append([]string{"--namespace", w.namespace}, args...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// eventually waits until the condition returns nil. On a timeout the test fails with its last error.
func (w *world) eventually(condition func() error) {
	w.t.Helper()
	const patience = time.Minute // allows for a machine that is busy with other tests
	var last error
	err := wait.PollUntilContextTimeout(w.t.Context(), 50*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		last = condition()
		return last == nil, nil
	})
	if err != nil {
		w.t.Fatalf("timed out: %v", last)
	}
}
