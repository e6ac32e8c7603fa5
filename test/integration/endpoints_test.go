// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/controlplane"
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

// in returns the same world for a subtest.
func (w *world) in(t *testing.T) *world { return &world{suite: w.suite, t: t, namespace: w.namespace} }

// newSuite starts a control plane and a Postern with these flags for one test, and checks for leaks at the end.
func newSuite(t *testing.T, flags ...string) *suite {
	t.Helper()
	return newSuiteWith(t, controlplane.PosternOptions{Flags: flags})
}

// newSuiteWith is newSuite with options.
func newSuiteWith(t *testing.T, options controlplane.PosternOptions) *suite {
	t.Helper()
	return newSuiteOf(t, "", options)
}

// newSuiteOf is newSuiteWith for an installation; see suite.
func newSuiteOf(t *testing.T, path string, options controlplane.PosternOptions) *suite {
	t.Helper()
	options.Flags = append(options.Flags, verboseFlags...)
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	s, err := startSuite(ctx, path, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.findLeaks(context.Background()); err != nil {
			t.Error(err)
		}
		if err := s.stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

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
	w.t.Helper()
	w.untilAnswered(http.StatusBadRequest, s, path, useless, p(useless))
}

func (w *world) untilRejected(s sender, path string, p proof) {
	w.t.Helper()
	w.untilAnswered(http.StatusUnauthorized, s, path, useless, p(useless))
}

// useless is a body that is rejected after authentication.
const useless = "{}"

// untilAnswered waits until a body, which should not be deliverable, is answered with code: permissions and secrets
// take effect with a delay.
func (w *world) untilAnswered(code int, s sender, path, body string, header map[string]string) {
	w.t.Helper()
	w.eventually(func() error {
		got, err := s.post(w.t.Context(), path, []byte(body), header)
		if err == nil && got.code != code {
			err = fmt.Errorf("got %d, want %d: %s", got.code, code, got.body)
		}
		return err
	})
}

func (w *world) annotations(resource schema.GroupVersionResource, name string) map[string]string {
	w.t.Helper()
	return w.get(resource, name).GetAnnotations()
}

func (w *world) records() []v1alpha1.WebhookDelivery {
	w.t.Helper()
	list, err := w.deliveries.PosternV1alpha1().WebhookDeliveries(w.namespace).List(w.t.Context(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return list.Items
}

// checkRequested fails the test unless a GatewaySync has the annotations of a recent request.
func (w *world) checkRequested(name, ref, by string) {
	w.t.Helper()
	annotations := w.annotations(gatewaySyncs, name)
	if annotations[requestedRef] != ref || annotations[requestedBy] != by {
		w.t.Errorf("GatewaySync %s: got annotations %v, want ref %q requested by %q", name, annotations, ref, by)
	}
	at, err := time.Parse(time.RFC3339, annotations[requestedAt])
	if err != nil || at.Location() != time.UTC || time.Since(at).Abs() > time.Hour {
		w.t.Errorf("GatewaySync %s: %s is %q, want a recent time in UTC", name, requestedAt, annotations[requestedAt])
	}
}

// want returns an error unless the numbers are equal.
func want(what string, got, want int) error {
	if got != want {
		return fmt.Errorf("%s: got %d, want %d", what, got, want)
	}
	return nil
}
