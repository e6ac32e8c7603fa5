// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/testcluster"
)

// checkJSON fails the test unless a path of the kube-apiserver answers exactly this JSON.
func (w *world) checkJSON(path, want string) {
	w.T.Helper()
	var wantValue, gotValue any
	if err := json.Unmarshal([]byte(want), &wantValue); err != nil {
		w.T.Fatal(err)
	}
	if err := json.Unmarshal([]byte(w.kubectl("", "get", "--raw", path)), &gotValue); err != nil {
		w.T.Fatal(err)
	}
	if diff := cmp.Diff(wantValue, gotValue); diff != "" {
		w.T.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestDiscovery_ListsWhatIsServed(t *testing.T) {
	w := newWorld(t)
	w.checkJSON("/apis/postern.dev", `{
		"kind": "APIGroup", "apiVersion": "v1", "name": "postern.dev",
		"versions": [{"groupVersion": "postern.dev/v1alpha1", "version": "v1alpha1"}],
		"preferredVersion": {"groupVersion": "postern.dev/v1alpha1", "version": "v1alpha1"}
	}`)
	// The parents of the subresources have no verbs: clients would confuse them with the objects of these names.
	w.checkJSON("/apis/postern.dev/v1alpha1", `{
		"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "postern.dev/v1alpha1",
		"resources": [
			{"name": "applications", "singularName": "application", "namespaced": true, "kind": "Application",
				"verbs": []},
			{"name": "applications/webhookdeliveries", "singularName": "", "namespaced": true,
				"kind": "WebhookDelivery",
				"verbs": ["create", "get"]},
			{"name": "applicationsets", "singularName": "applicationset", "namespaced": true, "kind": "ApplicationSet",
				"verbs": []},
			{"name": "applicationsets/webhookdeliveries", "singularName": "", "namespaced": true,
				"kind": "WebhookDelivery",
				"verbs": ["create", "get"]},
			{"name": "gatewaysyncs", "singularName": "gatewaysync", "namespaced": true, "kind": "GatewaySync",
				"verbs": []},
			{"name": "gatewaysyncs/webhookdeliveries", "singularName": "", "namespaced": true,
				"kind": "WebhookDelivery",
				"verbs": ["create", "get"]},
			{"name": "webhookdeliveries", "singularName": "webhookdelivery", "namespaced": true,
				"kind": "WebhookDelivery",
				"verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
				"shortNames": ["whd"]},
			{"name": "webhookdeliveries/redeliver", "singularName": "", "namespaced": true, "kind": "WebhookDelivery",
				"verbs": ["create"]},
			{"name": "webhooksources", "singularName": "webhooksource", "namespaced": true, "kind": "WebhookSource",
				"verbs": ["get", "list"]},
			{"name": "webhooksources/webhookdeliveries", "singularName": "", "namespaced": true,
				"kind": "WebhookDelivery",
				"verbs": ["create", "get"]}
		]
	}`)
}

func TestDiscovery_KubectlListsReadableResources(t *testing.T) {
	w := newWorld(t)
	got := w.kubectl("", "api-resources", "--api-group=postern.dev", "--no-headers", "--output=name")
	if want := "webhookdeliveries.postern.dev\nwebhooksources.postern.dev\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Backups and scripts list all kinds that can be listed.
func TestDiscovery_EveryListableKindIsListed(t *testing.T) {
	w := newWorld(t)
	w.threeDeliveries()
	kinds := strings.Fields(w.kubectl("", "api-resources", "--verbs=list", "--output=name"))
	if !slices.Contains(kinds, "webhooksources.postern.dev") ||
		!slices.Contains(kinds, "webhookdeliveries.postern.dev") {
		t.Errorf("got %v", kinds)
	}
	got := w.kubectl("", "get", strings.Join(kinds, ","), "--all-namespaces", "--no-headers")
	mustBeIn(t, got, "webhookdelivery.postern.dev/web-ref", "webhooksource.postern.dev/github")
}

func TestDiscovery_KubectlFindsCRDObjects(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.application("shop", nil)
	w.Create(testcluster.ApplicationSets, testcluster.ApplicationSet("apps"))

	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"get", "gatewaysyncs"}, "gatewaysync.stoker.io/web"},
		{[]string{"get", "gatewaysync", "web"}, "gatewaysync.stoker.io/web"},
		{[]string{"get", "gs", "web"}, "gatewaysync.stoker.io/web"},
		{[]string{"get", "applications"}, "application.argoproj.io/shop"},
		{[]string{"get", "application", "shop"}, "application.argoproj.io/shop"},
		{[]string{"get", "app", "shop"}, "application.argoproj.io/shop"},
		{[]string{"get", "applicationsets"}, "applicationset.argoproj.io/apps"},
		{[]string{"get", "applicationset", "apps"}, "applicationset.argoproj.io/apps"},
		{[]string{"get", "appset", "apps"}, "applicationset.argoproj.io/apps"},
		{[]string{"annotate", "applications", "shop", "seen=by-name"}, "application.argoproj.io/shop"},
		{[]string{"annotate", "gatewaysyncs", "--all", "seen=by-all"}, "gatewaysync.stoker.io/web"},
		{[]string{"label", "application/shop", "tier=front"}, "application.argoproj.io/shop"},
	} {
		if got := w.kubectl("", append(test.args, "--output=name")...); got != test.want+"\n" {
			t.Errorf("kubectl %q: got %q, want %q", test.args, got, test.want)
		}
	}
	w.mustHold(applications, "shop", "seen", "by-name")
	w.mustHold(gatewaySyncs, "web", "seen", "by-all")

	w.kubectl("", "delete", "application", "shop")
	w.kubectl("", "delete", "gatewaysyncs", "--all")
	if left := w.kubectl("", "get", "gatewaysyncs,applications", "--output=name"); left != "" {
		t.Errorf("kubectl deleted the wrong deliveries: %q are left", left)
	}
}

func TestDiscovery_ParentsAreNotReadable(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	for _, path := range []string{"gatewaysyncs", "gatewaysyncs/web", "applications", "applicationsets"} {
		mustBeIn(t, w.refused("", "get", "--raw", w.absolute(path)), "Error from server (NotFound)")
	}
	output := w.refused(`{"kind": "GatewaySync", "apiVersion": "postern.dev/v1alpha1", "metadata": {"name": "other"}}`,
		"create", "--filename=-")
	mustBeIn(t, output, "the server could not find the requested resource")
}

// The namespace controller uses this client, which requests protobuf. If it fails, no namespace can be deleted.
func TestMediaTypes_NamespaceController(t *testing.T) {
	w := newWorld(t)
	w.threeDeliveries()
	client, err := metadata.NewForConfig(w.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	records := client.Resource(v1alpha1.SchemeGroupVersion.WithResource("webhookdeliveries")).Namespace(w.Namespace)

	list, err := records.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 3 {
		t.Errorf("listed %d records, want 3", len(list.Items))
	}
	if err := records.Delete(t.Context(), list.Items[0].Name, metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	if err := records.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	w.mustHaveRecords()
}
