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
)

// The targets that most tests use, in the spec of a delivery.
const (
	toWeb  = "target: {kind: GatewaySync, name: web}"
	toShop = "target: {kind: Application, name: shop}"
)

var webhookDeliveries = v1alpha1.SchemeGroupVersion.WithResource("webhookdeliveries")

// ignoreTimes leaves out of a comparison when something happened, and the UID of what it happened to.
var ignoreTimes = cmp.Options{cmpopts.IgnoreTypes(metav1.Time{}), cmpopts.IgnoreTypes(types.UID(""))}

// delivery is a WebhookDelivery as a person writes it. The fields of the spec are YAML in one line.
func delivery(name, spec string) string {
	return "apiVersion: postern.dev/v1alpha1\nkind: WebhookDelivery\nmetadata: {name: " + name + "}\nspec: {" + spec + "}\n"
}

// absolute is a path below the namespace as kubectl --raw needs it.
func (w *world) absolute(path string) string {
	return "/apis/postern.dev/v1alpha1/namespaces/" + w.namespace + "/" + path
}

// ci is a sender that may deliver to every target of the namespace, by the token of a ServiceAccount.
func (w *world) ci() sender {
	w.t.Helper()
	subject, token := w.serviceAccount("ci")
	w.allow(subject, "gatewaysyncs")
	w.allow(subject, "applications")
	s := w.sender(token)
	for _, path := range []string{gatewaySyncPath("nobody"), applicationPath("nobody")} {
		w.eventually(func() error { // roles take effect a little later
			got, err := s.post(w.t.Context(), path+dryRun, []byte(`{"ref": "v1"}`), nil)
			if err == nil && got.code != http.StatusNotFound {
				err = fmt.Errorf("a sender that may deliver gets %d: %s", got.code, got.body)
			}
			return err
		})
	}
	return s
}

// deliver creates a delivery with kubectl and returns what kubectl was answered.
func (w *world) deliver(manifest string, args ...string) *v1alpha1.WebhookDelivery {
	w.t.Helper()
	out := w.kubectl(manifest, append([]string{"create", "--filename=-", "--output=json"}, args...)...)
	d := &v1alpha1.WebhookDelivery{}
	if err := json.Unmarshal([]byte(out), d); err != nil {
		w.t.Fatalf("kubectl wrote no JSON: %v: %q", err, out)
	}
	return d
}

// refused runs kubectl, which must fail, and returns what it said.
func (w *world) refused(stdin string, args ...string) string {
	w.t.Helper()
	out, err := w.Kubectl(w.t.Context(), stdin, append([]string{"--namespace", w.namespace}, args...)...)
	if err == nil {
		w.t.Fatalf("kubectl %q succeeded, and should not: %s", args, out)
	}
	return err.Error()
}

// mustHaveRecords fails the test unless the deliveries of the namespace are those, in the order of their names.
func (w *world) mustHaveRecords(want ...string) {
	w.t.Helper()
	got := []string{}
	for _, d := range w.records() {
		got = append(got, d.Name)
	}
	if want == nil {
		want = []string{}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Fatalf("recorded deliveries (-want +got):\n%s", diff)
	}
}

// concluded waits until a delivery is no longer pending and returns its record.
func (w *world) concluded(name string) *v1alpha1.WebhookDelivery {
	w.t.Helper()
	var d *v1alpha1.WebhookDelivery
	w.eventually(func() (err error) {
		d, err = w.deliveries.PosternV1alpha1().WebhookDeliveries(w.namespace).Get(w.t.Context(), name, metav1.GetOptions{})
		if err == nil && d.Status.Phase == v1alpha1.DeliveryPending {
			err = fmt.Errorf("delivery %s is pending", name)
		}
		return err
	})
	return d
}

// mustBeUntouched fails the test if anything, status and managed fields too, has changed in an object since it was read.
func (w *world) mustBeUntouched(resource schema.GroupVersionResource, before *unstructured.Unstructured) {
	w.t.Helper()
	if diff := cmp.Diff(before.Object, w.get(resource, before.GetName()).Object); diff != "" {
		w.t.Fatalf("%s %s has changed:\n%s", resource.Resource, before.GetName(), diff)
	}
}

// mustHold fails the test unless an annotation of an object has that value.
func (w *world) mustHold(resource schema.GroupVersionResource, name, annotation, want string) {
	w.t.Helper()
	if got := w.get(resource, name).GetAnnotations()[annotation]; got != want {
		w.t.Fatalf("%s of %s %s: got %q, want %q", annotation, resource.Resource, name, got, want)
	}
}

// mustBeIn fails the test unless what somebody said has every one of the texts.
func mustBeIn(t *testing.T, said string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(said, text) {
			t.Fatalf("got %q, want it to say %q", said, text)
		}
	}
}
