// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
)

func TestTargetKind_CRDInstalledLater(t *testing.T) {
	s := newSuite(t)
	if err := s.postern.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := s.newWorld(t)
	w.removeApplicationCRD()
	w.startPostern() // it gets ready without the CRD
	process := s.postern.PID()
	w.gatewaySync("web")
	ci := w.ci()

	const missing = "Application is not installed in this cluster"
	status := ci.mustPost(t, applicationPath("shop"), `{"ref": "v1"}`, nil, http.StatusNotFound).status(t)
	mustBeIn(t, status.Message, missing)
	output := w.refused(delivery("early", toShop+", ref: v1"), "create", "--filename=-")
	mustBeIn(t, output, "Error from server (NotFound)", missing)
	w.mustHaveRecords()
	ci.mustPost(t, gatewaySyncPath("web"), `{"ref": "v1"}`, nil, http.StatusAccepted)
	w.mustHold(gatewaySyncs, "web", requestedRef, "v1")

	w.installApplicationCRD()
	w.application("shop", nil)
	w.eventually(func() error {
		got, err := ci.post(t.Context(), applicationPath("shop"), []byte(`{"ref": "v2"}`), nil)
		if err == nil && got.code != http.StatusAccepted {
			err = fmt.Errorf("got %d: %s", got.code, got.body)
		}
		return err
	})
	w.mustHold(applications, "shop", "postern.dev/requested-ref", "v2")

	w.removeApplicationCRD()
	status = ci.mustPost(t, applicationPath("shop"), `{"ref": "v3"}`, nil, http.StatusNotFound).status(t)
	mustBeIn(t, status.Message, missing)
	for _, d := range w.records() {
		if d.Status.Phase == v1alpha1.DeliveryPending {
			t.Errorf("delivery %s is pending, although it can never be applied", d.Name)
		}
	}

	w.installApplicationCRD()
	if s.postern.PID() != process || !s.postern.Running() {
		t.Error("Postern had to be restarted")
	}
}

func (w *world) removeApplicationCRD() {
	w.T.Helper()
	w.kubectl("", "delete", "--filename=artifacts/crds/applications.argoproj.io.yaml")
	w.eventually(func() error {
		_, err := w.Objects.Resource(applications).Namespace(w.Namespace).List(w.T.Context(), metav1.ListOptions{})
		if err == nil {
			return errors.New("Applications are still served")
		}
		return nil
	})
}

func (w *world) installApplicationCRD() {
	w.T.Helper()
	w.kubectl("", "create", "--filename=artifacts/crds/applications.argoproj.io.yaml")
	w.eventually(func() error {
		_, err := w.Objects.Resource(applications).Namespace(w.Namespace).List(w.T.Context(), metav1.ListOptions{})
		return err
	})
}
