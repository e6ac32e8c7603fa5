// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
)

// answered returns the status of the answer for an error.
func answered(t *testing.T, err error) metav1.Status {
	t.Helper()
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		t.Fatalf("got error %v, want an API status error", err)
	}
	return status.Status()
}

// unavailable returns the error of the target package when the API server is down.
func unavailable(t *testing.T) error {
	t.Helper()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	writer, err := target.NewWriter(&rest.Config{Host: server.URL}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err = writer.Resolve(t.Context(), postern.TargetKey{
		Kind: postern.TargetGatewaySync, Namespace: "demo", Name: "plant",
	}, false); !target.IsTransient(err) {
		t.Fatalf("got %v, want a transient error", err)
	}
	return err
}

// notFound returns the error of the target package when the object does not exist.
func notFound() error {
	return fmt.Errorf("could not find it: %w", apierrors.NewNotFound(postern.Resource("gatewaysyncs"), "plant"))
}

// denied is an admission plugin that denies.
func denied(*postern.WebhookDelivery) error {
	return apierrors.NewForbidden(postern.Resource("webhookdeliveries"), "", errors.New("a policy says no"))
}

// noSpace is a storage failure.
func noSpace(*postern.WebhookDelivery) error { return errors.New("no space") }

// nameTaken is the storage's error when another delivery has the name.
func nameTaken(*postern.WebhookDelivery) error {
	return apierrors.NewAlreadyExists(postern.Resource("webhookdeliveries"), "release")
}
