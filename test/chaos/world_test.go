// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"net/http"
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

	"postern.dev/postern/apis/postern/v1alpha1"
)

// patience is the timeout for things that take no time on a quiet machine.
const patience = time.Minute

// world is the namespace of one test, with targets and a sender that may deliver to all of them.
type world struct {
	*cluster
	t         *testing.T
	namespace string
	targets   []target
	ci        sender
}

// newWorld creates targets of each kind in the shared control plane. Postern must be running.
func newWorld(t *testing.T, syncs, apps int) *world {
	t.Helper()
	return shared.newWorld(t, syncs, apps)
}

func (c *cluster) newWorld(t *testing.T, syncs, apps int) *world {
	t.Helper()
	ns, err := c.kube.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "chaos-"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{cluster: c, t: t, namespace: ns.Name}
	for i := range syncs {
		w.targets = append(w.targets, target{gatewaySyncs, fmt.Sprintf("plant-%d", i)})
	}
	for i := range apps {
		w.targets = append(w.targets, target{applications, fmt.Sprintf("shop-%d", i)})
	}
	for _, g := range w.targets {
		w.create(g)
	}
	w.ci = w.serviceAccountSender()
	return w
}

func (w *world) create(g target) {
	w.t.Helper()
	if err := w.createFrom(w.t.Context(), g.resource, g.manifest()); err != nil {
		w.t.Fatal(err)
	}
}

// createFrom creates an object in the namespace from YAML. It is safe for concurrent use.
func (w *world) createFrom(ctx context.Context, resource schema.GroupVersionResource, manifest string) error {
	obj := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(manifest), &obj.Object); err != nil {
		return err
	}
	_, err := w.objects.Resource(resource).Namespace(w.namespace).Create(ctx, obj, metav1.CreateOptions{})
	return err
}

// serviceAccountSender returns a sender once Postern and the kube-apiserver accept it.
func (w *world) serviceAccountSender() sender {
	w.t.Helper()
	const name = "ci"
	// The token must outlive all tests: its expiration would be an unintended failure.
	token, err := w.ServiceAccountToken(w.t.Context(), w.namespace, name, 6*time.Hour)
	if err != nil {
		w.t.Fatal(err)
	}
	w.allow(rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: w.namespace, Name: name})
	ci := w.sender(token)
	w.untilAccepted(ci, nil)
	return ci
}

func (w *world) sender(token string) sender {
	w.t.Helper()
	s, err := w.newSender(w.namespace, token)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(s.client.CloseIdleConnections)
	return s
}

// allow permits a subject to deliver to all targets in the namespace.
func (w *world) allow(subject rbacv1.Subject) {
	w.t.Helper()
	w.grant(subject, []string{"create"}, "gatewaysyncs/webhookdeliveries", "applications/webhookdeliveries")
}

// grant grants a subject verbs on resources of Postern's group in the namespace.
func (w *world) grant(subject rbacv1.Subject, verbs []string, resources ...string) {
	w.t.Helper()
	name := metav1.ObjectMeta{GenerateName: "sender-"}
	role, err := w.kube.RbacV1().Roles(w.namespace).Create(w.t.Context(), &rbacv1.Role{ObjectMeta: name, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{"postern.dev"}, Verbs: verbs, Resources: resources,
	}}}, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.kube.RbacV1().RoleBindings(w.namespace).Create(w.t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: name,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects:   []rbacv1.Subject{subject},
	}, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// useless is a body that is rejected after authentication.
const useless = "{}"

// untilAccepted waits until the sender is authenticated: permissions and secrets take effect with a delay.
func (w *world) untilAccepted(s sender, header map[string]string) {
	w.t.Helper()
	w.eventually(patience, func() error {
		got := s.send(request{target: w.targets[0], body: useless, header: header})
		if got.err != nil || got.code != http.StatusBadRequest {
			return fmt.Errorf("the sender is not authenticated: %s", got)
		}
		return nil
	})
}

// records returns the deliveries that match a field selector.
func (w *world) records(selector string) ([]v1alpha1.WebhookDelivery, error) {
	list, err := w.deliveries.PosternV1alpha1().WebhookDeliveries(w.namespace).
		List(w.t.Context(), metav1.ListOptions{FieldSelector: selector})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

func (w *world) pending() ([]v1alpha1.WebhookDelivery, error) {
	return w.records(v1alpha1.FieldPhase + "=" + string(v1alpha1.DeliveryPending))
}

func (w *world) held() map[target]string {
	w.t.Helper()
	refs := map[target]string{}
	for _, g := range w.targets {
		obj, err := w.objects.Resource(g.resource).Namespace(w.namespace).Get(w.t.Context(), g.name, metav1.GetOptions{})
		if err != nil {
			w.t.Fatal(err)
		}
		refs[g] = obj.GetAnnotations()[g.requestedRef()]
	}
	return refs
}

// eventually waits until the condition returns nil. On a timeout the test fails with its last error.
func (w *world) eventually(within time.Duration, condition func() error) {
	w.t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(w.t.Context(), 100*time.Millisecond, within, true, func(context.Context) (bool, error) {
		last = condition()
		return last == nil, nil
	})
	if err != nil {
		w.t.Fatalf("timed out after %s: %v", within, last)
	}
}

// names returns the first few names of records, for messages.
func names(records []v1alpha1.WebhookDelivery) string {
	var all []string
	for _, d := range records[:min(len(records), 5)] {
		all = append(all, d.Name)
	}
	return strings.Join(all, ", ")
}
