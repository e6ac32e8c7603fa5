// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/testcluster"
)

// Targets of most tests, in the spec of a delivery.
const (
	toWeb  = "target: {kind: GatewaySync, name: web}"
	toShop = "target: {kind: Application, name: shop}"
	toApps = "target: {kind: ApplicationSet, name: apps}"
)

var webhookDeliveries = v1alpha1.SchemeGroupVersion.WithResource("webhookdeliveries")

// ignoreTimes excludes times and UIDs from a comparison.
var ignoreTimes = cmp.Options{cmpopts.IgnoreTypes(metav1.Time{}), cmpopts.IgnoreTypes(types.UID(""))}

// delivery returns a WebhookDelivery manifest. The spec is YAML in one line.
func delivery(name, spec string) string {
	return "apiVersion: postern.dev/v1alpha1\nkind: WebhookDelivery\nmetadata: {name: " + name + "}\nspec: {" + spec +
		"}\n"
}

// absolute returns a path below the namespace for kubectl --raw.
func (w *world) absolute(path string) string {
	return testcluster.NamespacePath(w.Namespace) + path
}

// ci returns a sender with a ServiceAccount token that may deliver to all targets of the namespace.
func (w *world) ci() sender {
	w.T.Helper()
	subject, token := w.serviceAccount("ci")
	w.allow(subject, "gatewaysyncs")
	w.allow(subject, "applications")
	s := w.sender(token)
	for _, path := range []string{gatewaySyncPath("absent"), applicationPath("absent")} {
		w.eventually(func() error { // roles take effect with a delay
			got, err := s.post(w.T.Context(), path+dryRun, []byte(`{"ref": "v1"}`), nil)
			if err == nil && got.code != http.StatusNotFound {
				err = fmt.Errorf("a sender that may deliver gets %d: %s", got.code, got.body)
			}
			return err
		})
	}
	return s
}

// deliver creates a delivery with kubectl and returns the created object.
func (w *world) deliver(manifest string, args ...string) *v1alpha1.WebhookDelivery {
	w.T.Helper()
	out := w.kubectl(manifest, append([]string{"create", "--filename=-", "--output=json"}, args...)...)
	d := &v1alpha1.WebhookDelivery{}
	if err := json.Unmarshal([]byte(out), d); err != nil {
		w.T.Fatalf("kubectl did not write JSON: %v: %q", err, out)
	}
	return d
}

// refused runs kubectl, which must fail, and returns its output.
func (w *world) refused(stdin string, args ...string) string {
	w.T.Helper()
	out, err := w.Kubectl(w.T.Context(), stdin, append([]string{"--namespace", w.Namespace}, args...)...)
	if err == nil {
		w.T.Fatalf("kubectl %q should have failed: %s", args, out)
	}
	return err.Error()
}

// mustHaveRecords fails the test unless the deliveries of the namespace have these names, in order.
func (w *world) mustHaveRecords(want ...string) {
	w.T.Helper()
	got := []string{}
	for _, d := range w.records() {
		got = append(got, d.Name)
	}
	if want == nil {
		want = []string{}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.T.Fatalf("recorded deliveries (-want +got):\n%s", diff)
	}
}

// concluded waits until a delivery is no longer pending and returns its record.
func (w *world) concluded(name string) *v1alpha1.WebhookDelivery {
	w.T.Helper()
	var d *v1alpha1.WebhookDelivery
	w.eventually(func() (err error) {
		d, err = w.Deliveries.PosternV1alpha1().WebhookDeliveries(w.Namespace).Get(w.T.Context(), name,
			metav1.GetOptions{})
		if err == nil && d.Status.Phase == v1alpha1.DeliveryPending {
			err = fmt.Errorf("delivery %s is pending", name)
		}
		return err
	})
	return d
}

// mustBeUntouched fails the test if anything in an object, including managed fields, has changed.
func (w *world) mustBeUntouched(resource schema.GroupVersionResource, before *unstructured.Unstructured) {
	w.T.Helper()
	if diff := cmp.Diff(before.Object, w.Get(resource, before.GetName()).Object); diff != "" {
		w.T.Fatalf("%s %s has changed:\n%s", resource.Resource, before.GetName(), diff)
	}
}

// mustHold fails the test unless an annotation of an object has this value.
func (w *world) mustHold(resource schema.GroupVersionResource, name, annotation, want string) {
	w.T.Helper()
	if got := w.Get(resource, name).GetAnnotations()[annotation]; got != want {
		w.T.Fatalf("%s of %s %s: got %q, want %q", annotation, resource.Resource, name, got, want)
	}
}

// mustBeIn fails the test unless the output contains all of the texts.
func mustBeIn(t *testing.T, output string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(output, text) {
			t.Fatalf("got %q, want %q in it", output, text)
		}
	}
}
