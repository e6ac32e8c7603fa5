// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
)

func TestFlowControl_SlowAnonymousDelayNoOthers(t *testing.T) {
	s := newSuite(t, "--payload-timeout=1m")
	w := s.newWorld(t)
	w.gatewaySync("web")
	w.allow(unauthenticated, "gatewaysyncs")
	ci, anonymous := w.ci(), w.anonymous()
	w.eventually(func() error { // roles take effect with a delay
		got, err := anonymous.post(t.Context(), gatewaySyncPath("web"), []byte(`{"ref":"v1"}`), nil)
		if err == nil && got.code != http.StatusUnauthorized {
			err = fmt.Errorf("an unauthenticated sender without a secret gets %d: %s", got.code, got.body)
		}
		return err
	})

	w.fillAnonymousSeats(anonymous)

	d := ci.mustPost(t, gatewaySyncPath("web"), `{"ref":"meanwhile"}`, nil, http.StatusAccepted).delivery(t)
	if d.Status.Phase != v1alpha1.DeliveryApplied { // it needs Postern's own requests to the kube-apiserver
		t.Errorf("a delivery of an authenticated sender is %s: %s", d.Status.Phase, d.Status.Message)
	}
	if schema := w.flowSchemaOf(anonymous, "/version"); schema != "global-default" {
		t.Errorf("unauthenticated requests for other resources have the flow schema %q, want global-default", schema)
	}
	if served := w.flowControl("dispatched_requests_total",
		`flow_schema="postern",priority_level="postern"`); served == 0 {
		t.Error("Postern's own priority level has no requests")
	}
}

// fillAnonymousSeats starts unauthenticated deliveries until one has to wait for a seat.
func (w *world) fillAnonymousSeats(anonymous sender) {
	w.T.Helper()
	const most = 600 // all seats of a kube-apiserver
	for range most {
		anonymous.sendHalf(w.T, gatewaySyncPath("web"), "lost", true)
		if w.flowControl("current_inqueue_requests", `priority_level="postern-anonymous"`) > 0 {
			return
		}
	}
	w.T.Fatalf("%d slow unauthenticated senders have a seat each", most)
}

// flowControl sums the kube-apiserver's flow control metrics with these labels.
func (w *world) flowControl(name, labels string) float64 {
	w.T.Helper()
	return w.apiServerMetrics("apiserver_flowcontrol_" + name + "{").Sum(labels)
}

// flowSchemaOf gets a path from the kube-apiserver, and returns the flow schema of the request.
func (w *world) flowSchemaOf(s sender, path string) string {
	w.T.Helper()
	base, _, _ := strings.Cut(s.Base, "apis/")
	s.Base = base
	got, err := s.send(w.T.Context(), http.MethodGet, strings.TrimPrefix(path, "/"), http.NoBody, nil)
	if err != nil {
		w.T.Fatal(err)
	}
	if got.code != http.StatusOK {
		w.T.Fatalf("GET %s: got %d: %s", path, got.code, got.body)
	}
	schemas, err := w.Kube.FlowcontrolV1().FlowSchemas().List(w.T.Context(), metav1.ListOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	for _, schema := range schemas.Items {
		if string(schema.UID) == got.header.Get("X-Kubernetes-Pf-Flowschema-Uid") {
			return schema.Name
		}
	}
	return ""
}
