// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package testcluster

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

// The kinds of targets.
var (
	GatewaySyncs = schema.GroupVersionResource{Group: "stoker.io", Version: "v1alpha1", Resource: "gatewaysyncs"}
	Applications = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "applications"}

	ApplicationSets = schema.GroupVersionResource{
		Group: "argoproj.io", Version: "v1alpha1", Resource: "applicationsets",
	}
)

// Unauthenticated are callers without a cluster identity.
var Unauthenticated = rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:unauthenticated"}

// GatewaySync returns the manifest of a GatewaySync without a request.
func GatewaySync(name string) string {
	return `
apiVersion: stoker.io/v1alpha1
kind: GatewaySync
metadata: {name: ` + name + `}
spec:
  git: {repo: "https://github.com/example/plant.git", ref: main}
  gateway: {api: {secretName: key}}
  sync: {profiles: {default: {mappings: [{source: a/, destination: b/}]}}}`
}

// Application returns the manifest of an Application with one source, https://github.com/example/shop.git at main.
func Application(name string) string {
	return `
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: ` + name + `}
spec:
  project: default
  destination: {server: "https://kubernetes.default.svc", namespace: shop}
  source: {repoURL: "https://github.com/example/shop.git", path: deploy, targetRevision: main}`
}

// ApplicationSet returns the manifest of an ApplicationSet with one generator, for the directories in
// https://github.com/example/apps.git at main.
func ApplicationSet(name string) string {
	return `
apiVersion: argoproj.io/v1alpha1
kind: ApplicationSet
metadata: {name: ` + name + `}
spec:
  generators:
  - git: {repoURL: "https://github.com/example/apps.git", revision: main, directories: [{path: "apps/*"}]}
  template:
    metadata: {name: "{{path.basename}}"}
    spec:
      project: default
      destination: {server: "https://kubernetes.default.svc", namespace: shop}
      source: {repoURL: "https://github.com/example/apps.git", path: "{{path}}", targetRevision: main}`
}

// Sandbox is the namespace of one test. Its methods fail the test on an error.
type Sandbox struct {
	T         *testing.T
	Namespace string

	cluster *Cluster
}

// NewSandbox creates a namespace that is named after the test.
func (c *Cluster) NewSandbox(t *testing.T) *Sandbox {
	t.Helper()
	prefix := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(t.Name()))
	ns, err := c.Kube.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: prefix[:min(len(prefix), 40)] + "-"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return c.Sandbox(t, ns.Name)
}

// Sandbox returns the sandbox of an existing namespace.
func (c *Cluster) Sandbox(t *testing.T, namespace string) *Sandbox {
	return &Sandbox{T: t, Namespace: namespace, cluster: c}
}

// Create creates an object from a manifest.
func (s *Sandbox) Create(resource schema.GroupVersionResource, manifest string) *unstructured.Unstructured {
	s.T.Helper()
	created, err := s.TryCreate(s.T.Context(), resource, manifest)
	if err != nil {
		s.T.Fatal(err)
	}
	return created
}

// TryCreate is Create, but returns the error. It is safe for concurrent use.
func (s *Sandbox) TryCreate(ctx context.Context, resource schema.GroupVersionResource, manifest string,
) (*unstructured.Unstructured, error) {
	obj := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(manifest), &obj.Object); err != nil {
		return nil, err
	}
	return s.cluster.Objects.Resource(resource).Namespace(s.Namespace).Create(ctx, obj, metav1.CreateOptions{})
}

// Get returns an object.
func (s *Sandbox) Get(resource schema.GroupVersionResource, name string) *unstructured.Unstructured {
	s.T.Helper()
	obj, err := s.cluster.Objects.Resource(resource).Namespace(s.Namespace).Get(s.T.Context(), name,
		metav1.GetOptions{})
	if err != nil {
		s.T.Fatal(err)
	}
	return obj
}

// SetWebhookSecrets creates or replaces the namespace's webhook secrets. Postern sees them with a delay.
func (s *Sandbox) SetWebhookSecrets(data map[string]string) {
	s.T.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "postern-webhook-secrets"}, StringData: data}
	secrets := s.cluster.Kube.CoreV1().Secrets(s.Namespace)
	if _, err := secrets.Create(s.T.Context(), secret, metav1.CreateOptions{}); err == nil {
		return
	}
	if err := secrets.Delete(s.T.Context(), secret.Name, metav1.DeleteOptions{}); err != nil {
		s.T.Fatal(err)
	}
	if _, err := secrets.Create(s.T.Context(), secret, metav1.CreateOptions{}); err != nil {
		s.T.Fatal(err)
	}
}

// ServiceAccount creates a ServiceAccount and returns it as a subject, with a token.
func (s *Sandbox) ServiceAccount(name string, validity time.Duration) (subject rbacv1.Subject, token string) {
	s.T.Helper()
	token, err := s.cluster.ServiceAccountToken(s.T.Context(), s.Namespace, name, validity)
	if err != nil {
		s.T.Fatal(err)
	}
	return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: s.Namespace, Name: name}, token
}

// Grant permits the subject verbs on resources of Postern's group, if names are given only on these objects. Verbs and
// resources are separated by commas, as in the flags of kubectl create role. Permissions take effect with a delay.
func (s *Sandbox) Grant(subject rbacv1.Subject, verbs, resources string, names ...string) {
	s.T.Helper()
	rules := []rbacv1.PolicyRule{{
		APIGroups: []string{"postern.dev"}, Verbs: strings.Split(verbs, ","), Resources: strings.Split(resources, ","),
		ResourceNames: names,
	}}
	name := metav1.ObjectMeta{GenerateName: "sender-"}
	rbac := s.cluster.Kube.RbacV1()
	role, err := rbac.Roles(s.Namespace).Create(s.T.Context(), &rbacv1.Role{ObjectMeta: name, Rules: rules},
		metav1.CreateOptions{})
	if err != nil {
		s.T.Fatal(err)
	}
	if _, err := rbac.RoleBindings(s.Namespace).Create(s.T.Context(), &rbacv1.RoleBinding{
		ObjectMeta: name,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects:   []rbacv1.Subject{subject},
	}, metav1.CreateOptions{}); err != nil {
		s.T.Fatal(err)
	}
}

// Eventually waits until the condition returns nil. On a timeout the test fails with its last error.
func (s *Sandbox) Eventually(within time.Duration, condition func() error) {
	s.T.Helper()
	var last error
	err := wait.PollUntilContextTimeout(s.T.Context(), 50*time.Millisecond, within, true,
		func(context.Context) (bool, error) {
			last = condition()
			return last == nil, nil
		})
	if err != nil {
		s.T.Fatalf("timed out after %s: %v", within, last)
	}
}
