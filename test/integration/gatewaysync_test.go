// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"errors"
	"net/http"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/testcluster"
)

func TestGatewaySync_RequestOnly(t *testing.T) {
	w := newWorld(t)
	before := w.Create(gatewaySyncs, testcluster.GatewaySync("web"))
	before = w.annotated(gatewaySyncs, before, map[string]string{"example.com/note": "keep me",
		"stoker.io/other": "me too"})

	w.ci().mustPost(t, gatewaySyncPath("web"), release, nil, http.StatusAccepted)

	w.checkContent(gatewaySyncs, before, map[string]string{requestedRef: "v2.0.0", requestedBy: "github",
		requestedAt: ""})
}

// annotated sets the annotations of an object.
func (w *world) annotated(resource schema.GroupVersionResource, obj *unstructured.Unstructured,
	annotations map[string]string) *unstructured.Unstructured {
	w.T.Helper()
	obj.SetAnnotations(annotations)
	obj, err := w.Objects.Resource(resource).Namespace(w.Namespace).Update(w.T.Context(), obj, metav1.UpdateOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	return obj
}

func TestGatewaySync_EqualRefChangesNothing(t *testing.T) {
	w := newWorld(t)
	// The old time shows whether the annotations are written again.
	before := w.annotated(gatewaySyncs, w.Create(gatewaySyncs, testcluster.GatewaySync("web")), map[string]string{
		requestedRef: "v2.0.0", requestedAt: "2020-01-01T00:00:00Z", requestedBy: "argocd",
	})
	ci := w.ci()

	got := ci.mustPost(t, gatewaySyncPath("web"), release, nil, http.StatusAccepted).delivery(t)
	w.deliver(delivery("by-hand", toWeb+", ref: v2.0.0"))

	w.mustBeUntouched(gatewaySyncs, before)
	if got.Status.Phase != v1alpha1.DeliveryApplied || got.Status.Reason != "AlreadyRequested" {
		t.Errorf("got phase %q, reason %q; want Applied, AlreadyRequested", got.Status.Phase, got.Status.Reason)
	}
}

func TestGatewaySync_SpecRefIsNoRequest(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web") // its ref is main

	got := w.deliver(delivery("main", toWeb+", ref: main"))

	w.checkRequested("web", "main", "generic")
	if result := got.Status.Targets[0].Result; result != v1alpha1.TargetWritten {
		t.Errorf("got result %q, want Written", result)
	}
}

func TestGatewaySync_ConcurrentChangesAreKept(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	for _, ref := range []string{"v1", "v2", "v3"} {
		// Postern's cache may not have this change yet when it writes.
		obj := w.Get(gatewaySyncs, "web")
		annotations := obj.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations["example.com/"+ref] = "mine"
		before := w.annotated(gatewaySyncs, obj, annotations)

		w.deliver(delivery(ref, toWeb+", ref: "+ref))

		w.checkContent(gatewaySyncs, before, map[string]string{requestedRef: ref, requestedBy: "generic",
			requestedAt: ""})
	}
}

func TestGatewaySync_DeletedAndCreatedAgain(t *testing.T) {
	w := newWorld(t)
	ci := w.ci()
	for _, test := range []struct {
		resource schema.GroupVersionResource
		path     string
		create   func()
	}{
		{gatewaySyncs, gatewaySyncPath("web"), func() { w.gatewaySync("web") }},
		{applications, applicationPath("web"), func() { w.application("web", nil) }},
	} {
		test.create()
		ci.mustPost(t, test.path, `{"ref": "v1"}`, nil, http.StatusAccepted)

		err := w.Objects.Resource(test.resource).Namespace(w.Namespace).Delete(t.Context(), "web",
			metav1.DeleteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ci.mustPost(t, test.path, `{"ref": "v2"}`, nil, http.StatusNotFound)

		test.create()
		ci.mustPost(t, test.path, `{"ref": "v3"}`, nil, http.StatusAccepted)
	}
	w.mustHold(gatewaySyncs, "web", requestedRef, "v3")
	w.mustHold(applications, "web", "postern.dev/requested-ref", "v3")
}

// freezeGatewaySyncs makes the kube-apiserver reject all changes of GatewaySyncs in the namespace.
func (w *world) freezeGatewaySyncs(example *unstructured.Unstructured) {
	w.T.Helper()
	w.policyOn("{apiGroups: [stoker.io], apiVersions: ['*'], operations: [UPDATE], resources: [gatewaysyncs]}",
		"ValidatingAdmissionPolicy", `
  validations:
  - {expression: "false", message: targets are frozen}
`, "validationActions: [Deny]")
	w.eventually(func() error {
		_, err := w.Objects.Resource(gatewaySyncs).Namespace(w.Namespace).
			Update(w.T.Context(), example, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil {
			return errors.New("the policy is not in effect yet")
		}
		return nil
	})
}

func TestGatewaySync_RefusedWriteFailsWithEvent(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	before := w.Get(gatewaySyncs, "web")
	w.freezeGatewaySyncs(before)

	ci.mustPost(t, gatewaySyncPath("web"), `{"ref": "v1"}`, nil, http.StatusInternalServerError)

	w.mustBeUntouched(gatewaySyncs, before)
	event := w.targetEvents("web", 1)[0]
	if event.Type != "Warning" || event.Reason != "RefRequestFailed" {
		t.Errorf("got Event %s %s, want Warning RefRequestFailed", event.Type, event.Reason)
	}
	records := w.records()
	if len(records) != 1 {
		t.Fatalf("got %d records, want 1", len(records))
	}
	got := w.concluded(records[0].Name).Status
	if got.Phase != v1alpha1.DeliveryFailed || got.Reason != "TargetRefused" {
		t.Errorf("got phase %q, reason %q; want Failed, TargetRefused", got.Phase, got.Reason)
	}
	mustBeIn(t, got.Message, "targets are frozen")
}
