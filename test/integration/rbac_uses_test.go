// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

// use is an operation of Postern that needs a permission.
type use struct {
	// begin makes Postern do it, and returns a check of the effect. It is nil for operations at the start.
	begin func(*world) (done func() error)
	// neededToBeReady is true if Postern is not ready without it at the start.
	neededToBeReady bool
}

// order is 0 for operations at runtime.
func (u use) order() int {
	if u.begin == nil {
		return 1
	}
	return 0
}

// uses returns all operations by permission.
func (s *suite) uses(t *testing.T) map[permission]use {
	t.Helper()
	const (
		stoker       = "stoker.io"
		argo         = "argoproj.io"
		updater      = "argocd-image-updater.argoproj.io"
		admission    = "admissionregistration.k8s.io"
		leases       = "coordination.k8s.io"
		registration = "apiregistration.k8s.io"
	)
	all := map[permission]use{
		{"get", stoker, "gatewaysyncs", ""}:       {begin: toMissing(toWeb)},
		{"patch", stoker, "gatewaysyncs", ""}:     {begin: toGatewaySync},
		{"get", argo, "applications", ""}:         {begin: toMissing(toShop)},
		{"patch", argo, "applications", ""}:       {begin: toApplication},
		{"get", argo, "applicationsets", ""}:      {begin: toMissing(toApps)},
		{"patch", argo, "applicationsets", ""}:    {begin: toApplicationSet},
		{"create", "events.k8s.io", "events", ""}: {begin: event},
		{"patch", "events.k8s.io", "events", ""}:  {begin: eventAgain},
		{"get", "", "namespaces", ""}:             {begin: toMissingNamespace},

		{"create", leases, "leases", ""}:        {begin: newLease},
		{"get", leases, "leases", "postern"}:    {begin: newLease},
		{"update", leases, "leases", "postern"}: {begin: renewedLease},

		{"create", "", "secrets", ""}:                                  {begin: newAuthority},
		{"update", "", "secrets", "postern-ca"}:                        {begin: repairedAuthority},
		{"patch", registration, "apiservices", "v1alpha1.postern.dev"}: {begin: repairedBundle},

		{"bind", "", "system:auth-delegator", ""}:                     {begin: pastTheKubeAPIServer},
		{"bind", "", "extension-apiserver-authentication-reader", ""}: {neededToBeReady: true},
	}
	watches := []permission{
		{group: stoker, resource: "gatewaysyncs"},
		{group: argo, resource: "applications"},
		{group: argo, resource: "applicationsets"},
		{group: updater, resource: "imageupdaters"},
		{resource: "secrets", name: "postern-webhook-secrets"},
		{resource: "secrets", name: "postern-ca"},
		{group: registration, resource: "apiservices", name: "v1alpha1.postern.dev"},
		{resource: "namespaces"},
		{group: admission, resource: "validatingadmissionpolicies"},
		{group: admission, resource: "validatingadmissionpolicybindings"},
		{group: admission, resource: "validatingwebhookconfigurations"},
		{group: admission, resource: "mutatingwebhookconfigurations"},
	}
	if s.ServesMutatingPolicies(t) {
		watches = append(watches,
			permission{group: admission, resource: "mutatingadmissionpolicies"},
			permission{group: admission, resource: "mutatingadmissionpolicybindings"})
	}
	for _, watched := range watches {
		list, watch := watched, watched
		list.verb, watch.verb = "list", "watch"
		all[list], all[watch] = use{neededToBeReady: true}, use{}
	}
	return all
}

// toGatewaySync, toApplication and toApplicationSet deliver to a target of their kind and check its ref.
func toGatewaySync(w *world) func() error {
	w.gatewaySync("web")
	return w.applied(toWeb)
}

func toApplication(w *world) func() error {
	w.application("shop", nil)
	return w.applied(toShop)
}

func toApplicationSet(w *world) func() error {
	w.Create(applicationSets, testcluster.ApplicationSet("apps"))
	return w.applied(toApps)
}

func (w *world) applied(target string) func() error {
	manifest := delivery("first", target+", ref: v1")
	w.eventually(func() error { // the kube-apiserver may not trust Postern yet
		_, err := w.Kubectl(w.T.Context(), manifest, "--namespace="+w.Namespace, "create", "--filename=-")
		return err
	})
	return func() error {
		d, err := w.Deliveries.PosternV1alpha1().WebhookDeliveries(w.Namespace).Get(w.T.Context(), "first",
			metav1.GetOptions{})
		if err == nil && d.Status.Phase != v1alpha1.DeliveryApplied {
			err = fmt.Errorf("the delivery is %s: %s", d.Status.Phase, d.Status.Message)
		}
		return err
	}
}

// event delivers a ref and checks the Event.
func event(w *world) func() error {
	w.gatewaySync("web")
	w.deliver(delivery("first", toWeb+", ref: v1"))
	return func() error {
		events, err := w.Kube.EventsV1().Events(w.Namespace).List(w.T.Context(), metav1.ListOptions{})
		if err == nil && len(events.Items) == 0 {
			err = errors.New("there is no Event")
		}
		return err
	}
}

// eventAgain delivers a webhook with two tags to one target. The Event must have both.
func eventAgain(w *world) func() error {
	w.application("shop", nil)
	w.ci().mustPost(w.T, applicationPath("shop"),
		`{"name": "b", "namespace": "a", "repository": "a/b", "docker_url": "quay.io/a/b",
		"homepage": "https://quay.io/repository/a/b", "updated_tags": ["1.0.0", "2.0.0"]}`, nil, http.StatusAccepted)
	return func() error {
		events, err := w.Kube.EventsV1().Events(w.Namespace).List(w.T.Context(), metav1.ListOptions{})
		if err == nil && (len(events.Items) != 1 || events.Items[0].Series == nil) {
			err = fmt.Errorf("no Event has both: %v", events.Items)
		}
		return err
	}
}

// toMissing delivers to a target, and toMissingNamespace to a namespace, that is not in Postern's cache. Postern reads
// it from the kube-apiserver before it answers 404.
func toMissing(target string) func(*world) func() error {
	return func(w *world) func() error { return w.missing(w.Namespace, target) }
}

func toMissingNamespace(w *world) func() error { return w.missing(w.Namespace+"-missing", toWeb) }

func (w *world) missing(namespace, target string) func() error {
	return func() error {
		_, err := w.Kubectl(w.T.Context(), delivery("first", target+", ref: v1"), "--namespace="+namespace, "create",
			"--filename=-")
		if err != nil && strings.Contains(err.Error(), "(NotFound)") {
			return nil
		}
		return fmt.Errorf("the target is not reported missing: %w", err)
	}
}

func newLease(w *world) func() error {
	leases := w.Kube.CoordinationV1().Leases(controlplane.Namespace)
	if err := leases.Delete(w.T.Context(), "postern", metav1.DeleteOptions{}); err != nil &&
		!apierrors.IsNotFound(err) {
		w.T.Fatal(err)
	}
	return func() error {
		_, err := leases.Get(w.T.Context(), "postern", metav1.GetOptions{})
		return err
	}
}

func renewedLease(w *world) func() error {
	leases := w.Kube.CoordinationV1().Leases(controlplane.Namespace)
	var renewed *metav1.MicroTime
	w.eventually(func() error {
		lease, err := leases.Get(w.T.Context(), "postern", metav1.GetOptions{})
		if err == nil {
			renewed = lease.Spec.RenewTime
		}
		return err
	})
	return func() error {
		lease, err := leases.Get(w.T.Context(), "postern", metav1.GetOptions{})
		if err == nil && lease.Spec.RenewTime.Equal(renewed) {
			err = errors.New("the Lease is not renewed")
		}
		return err
	}
}

// pastTheKubeAPIServer calls Postern directly, as Prometheus does. Postern must authenticate and authorize it.
func pastTheKubeAPIServer(w *world) func() error {
	_, token := w.serviceAccount("prometheus")
	w.bindMetricsReader()
	return func() error {
		_, code := w.scrape(token)
		return wantMetric("code of a scrape", float64(code), http.StatusOK)
	}
}
