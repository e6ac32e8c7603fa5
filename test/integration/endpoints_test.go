// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// Annotations of a request on a GatewaySync.
const (
	requestedRef = "stoker.io/requested-ref"
	requestedAt  = "stoker.io/requested-at"
	requestedBy  = "stoker.io/requested-by"
)

// gatewaySyncPath returns the by-target path of a GatewaySync, and applicationPath of an Application.
func gatewaySyncPath(name string) string { return "gatewaysyncs/" + name + "/webhookdeliveries" }
func applicationPath(name string) string { return "applications/" + name + "/webhookdeliveries" }

// proof returns the headers that authenticate a body.
type proof func(body string) map[string]string

func noProof(string) map[string]string { return nil }

func bySignature(secret string) proof {
	return func(body string) map[string]string {
		return map[string]string{"X-Hub-Signature-256": sign(secret, body)}
	}
}

func byToken(header, secret string) proof {
	return func(string) map[string]string { return map[string]string{header: secret} }
}

// signed returns the headers of a signed JSON body.
func signed(secret, body string) map[string]string {
	return map[string]string{"Content-Type": "application/json", "X-Hub-Signature-256": sign(secret, body)}
}

// untilAccepted waits until the sender is accepted, and untilRejected until it is rejected. Nothing is delivered.
func (w *world) untilAccepted(s sender, path string, p proof) {
	w.T.Helper()
	w.untilAnswered(http.StatusBadRequest, s, path, useless, p(useless))
}

func (w *world) untilRejected(s sender, path string, p proof) {
	w.T.Helper()
	w.untilAnswered(http.StatusUnauthorized, s, path, useless, p(useless))
}

// useless is a body that is rejected after authentication.
const useless = "{}"

// untilAnswered waits until a body, which should not be deliverable, is answered with code: permissions and secrets
// take effect with a delay.
func (w *world) untilAnswered(code int, s sender, path, body string, header map[string]string) {
	w.T.Helper()
	w.eventually(func() error {
		got, err := s.post(w.T.Context(), path, []byte(body), header)
		if err == nil && got.code != code {
			err = fmt.Errorf("got %d, want %d: %s", got.code, code, got.body)
		}
		return err
	})
}

func (w *world) annotations(resource schema.GroupVersionResource, name string) map[string]string {
	w.T.Helper()
	return w.Get(resource, name).GetAnnotations()
}

func (w *world) records() []v1alpha1.WebhookDelivery {
	w.T.Helper()
	list, err := w.Deliveries.PosternV1alpha1().WebhookDeliveries(w.Namespace).List(w.T.Context(), metav1.ListOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	return list.Items
}

// checkRequested fails the test unless a GatewaySync has the annotations of a recent request.
func (w *world) checkRequested(name, ref, by string) {
	w.T.Helper()
	annotations := w.annotations(gatewaySyncs, name)
	if annotations[requestedRef] != ref || annotations[requestedBy] != by {
		w.T.Errorf("GatewaySync %s: got annotations %v, want ref %q requested by %q", name, annotations, ref, by)
	}
	at, err := time.Parse(time.RFC3339, annotations[requestedAt])
	if err != nil || at.Location() != time.UTC || time.Since(at).Abs() > time.Hour {
		w.T.Errorf("GatewaySync %s: %s is %q, want a recent time in UTC", name, requestedAt, annotations[requestedAt])
	}
}

// want returns an error unless the numbers are equal.
func want(what string, got, want int) error {
	if got != want {
		return fmt.Errorf("%s: got %d, want %d", what, got, want)
	}
	return nil
}
