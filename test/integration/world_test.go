// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/test/testcluster"
)

var gatewaySyncs, applications, applicationSets = testcluster.GatewaySyncs, testcluster.Applications,
	testcluster.ApplicationSets

// unauthenticated are callers without a cluster identity.
var unauthenticated = testcluster.Unauthenticated

// world is the namespace of one test, and the permissions in it.
type world struct {
	*suite
	*testcluster.Sandbox
}

// newWorld creates a namespace, named after the test, in the shared suite.
func newWorld(t *testing.T) *world { return shared.newWorld(t) }

func (s *suite) newWorld(t *testing.T) *world {
	t.Helper()
	return &world{s, s.NewSandbox(t)}
}

// in returns the same world for a subtest.
func (w *world) in(t *testing.T) *world { return &world{w.suite, w.Cluster.Sandbox(t, w.Namespace)} }

// gatewaySync creates a GatewaySync without a request.
func (w *world) gatewaySync(name string) {
	w.T.Helper()
	w.Create(gatewaySyncs, testcluster.GatewaySync(name))
}

// application creates an Application with one source, https://github.com/example/shop.git at main.
func (w *world) application(name string, annotations map[string]string) {
	w.T.Helper()
	obj := w.Create(applications, testcluster.Application(name))
	if len(annotations) == 0 {
		return
	}
	obj.SetAnnotations(annotations)
	if _, err := w.Objects.Resource(applications).Namespace(w.Namespace).Update(w.T.Context(), obj,
		metav1.UpdateOptions{}); err != nil {
		w.T.Fatal(err)
	}
}

// secret sets the namespace's webhook secrets, each from newSecret.
func (w *world) secret(data map[string]string) {
	w.T.Helper()
	mustBeFindable(w.T, data)
	w.SetWebhookSecrets(data)
}

// allow permits the subject to create webhookdeliveries of the named objects of a resource, or of all.
func (w *world) allow(subject rbacv1.Subject, resource string, names ...string) {
	w.T.Helper()
	w.Grant(subject, "create", resource+"/webhookdeliveries", names...)
}

// serviceAccount creates a ServiceAccount and returns it as a subject, with a token.
func (w *world) serviceAccount(name string) (subject rbacv1.Subject, token string) {
	w.T.Helper()
	return w.ServiceAccount(name, time.Hour)
}

// kubectl runs kubectl as the administrator in this namespace. The test fails if kubectl fails.
func (w *world) kubectl(stdin string, args ...string) string {
	w.T.Helper()
	return w.MustKubectl(w.T, stdin, append([]string{"--namespace", w.Namespace}, args...)...)
}

// eventually waits until the condition returns nil. On a timeout the test fails with its last error.
func (w *world) eventually(condition func() error) {
	w.T.Helper()
	w.Eventually(testcluster.Patience, condition)
}
