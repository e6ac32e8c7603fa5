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

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/testcluster"
)

// world is the namespace of one test, with targets and a sender that may deliver to all of them.
type world struct {
	*cluster
	*testcluster.Sandbox
	targets []target
	ci      sender
}

// newWorld creates targets of each kind in the shared control plane. Postern must be running.
func newWorld(t *testing.T, syncs, apps int) *world {
	t.Helper()
	return shared.newWorld(t, syncs, apps)
}

func (c *cluster) newWorld(t *testing.T, syncs, apps int) *world {
	t.Helper()
	w := &world{cluster: c, Sandbox: c.NewSandbox(t)}
	for i := range syncs {
		w.targets = append(w.targets, target{gatewaySyncs, fmt.Sprintf("plant-%d", i)})
	}
	for i := range apps {
		w.targets = append(w.targets, target{applications, fmt.Sprintf("shop-%d", i)})
	}
	for _, g := range w.targets {
		w.Create(g.resource, g.manifest())
	}
	w.ci = w.serviceAccountSender()
	return w
}

// createFrom creates an object in the namespace from YAML. It is safe for concurrent use.
func (w *world) createFrom(ctx context.Context, resource schema.GroupVersionResource, manifest string) error {
	_, err := w.TryCreate(ctx, resource, manifest)
	return err
}

// serviceAccountSender returns a sender once Postern and the kube-apiserver accept it.
func (w *world) serviceAccountSender() sender {
	w.T.Helper()
	// The token must outlive all tests: its expiration would be an unintended failure.
	subject, token := w.ServiceAccount("ci", 6*time.Hour)
	w.allow(subject)
	ci := w.sender(token)
	w.untilAccepted(ci, nil)
	return ci
}

func (w *world) sender(token string) sender {
	w.T.Helper()
	s, err := w.newSender(w.Namespace, token)
	if err != nil {
		w.T.Fatal(err)
	}
	w.T.Cleanup(s.Client.CloseIdleConnections)
	return s
}

// allow permits a subject to deliver to all targets in the namespace.
func (w *world) allow(subject rbacv1.Subject) {
	w.T.Helper()
	w.Grant(subject, "create", "gatewaysyncs/webhookdeliveries,applications/webhookdeliveries")
}

// useless is a body that is rejected after authentication.
const useless = "{}"

// untilAccepted waits until the sender is authenticated: permissions and secrets take effect with a delay.
func (w *world) untilAccepted(s sender, header map[string]string) {
	w.T.Helper()
	w.Eventually(testcluster.Patience, func() error {
		got := s.send(request{target: w.targets[0], body: useless, header: header})
		if got.err != nil || got.code != http.StatusBadRequest {
			return fmt.Errorf("the sender is not authenticated: %s", got)
		}
		return nil
	})
}

// records returns the deliveries that match a field selector.
func (w *world) records(selector string) ([]v1alpha1.WebhookDelivery, error) {
	list, err := w.Deliveries.PosternV1alpha1().WebhookDeliveries(w.Namespace).
		List(w.T.Context(), metav1.ListOptions{FieldSelector: selector})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

func (w *world) pending() ([]v1alpha1.WebhookDelivery, error) {
	return w.records(v1alpha1.FieldPhase + "=" + string(v1alpha1.DeliveryPending))
}

func (w *world) held() map[target]string {
	w.T.Helper()
	refs := map[target]string{}
	for _, g := range w.targets {
		refs[g] = w.Get(g.resource, g.name).GetAnnotations()[g.requestedRef()]
	}
	return refs
}

// names returns the first few names of records, for messages.
func names(records []v1alpha1.WebhookDelivery) string {
	var all []string
	for _, d := range records[:min(len(records), 5)] {
		all = append(all, d.Name)
	}
	return strings.Join(all, ", ")
}
