// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestKubectlDelete_All(t *testing.T) {
	other, w := newWorld(t), newWorld(t)
	other.gatewaySync("web")
	other.deliver(delivery("elsewhere", toWeb+", ref: v1"))
	w.threeDeliveries()

	w.kubectl("", "delete", "whd", "--all")

	w.mustHaveRecords()
	other.mustHaveRecords("elsewhere")
	w.mustHold(gatewaySyncs, "web", requestedRef, "v1")
}

func TestKubectlDelete_CollectionByField(t *testing.T) {
	w := newWorld(t)
	w.threeDeliveries()

	err := w.Deliveries.PosternV1alpha1().WebhookDeliveries(w.Namespace).DeleteCollection(t.Context(),
		metav1.DeleteOptions{}, metav1.ListOptions{FieldSelector: "spec.source=github"})
	if err != nil {
		t.Fatal(err)
	}

	w.mustHaveRecords("web-ref")
}

func TestKubectlDelete_DryRun(t *testing.T) {
	w := newWorld(t)
	w.threeDeliveries()
	w.kubectl("", "delete", "whd", "web-ref", "--dry-run=server")
	w.mustHaveRecords("shop-release", "web-ping", "web-ref")
}

func TestKubectlDelete_NotFound(t *testing.T) {
	w := newWorld(t)
	err := w.Deliveries.PosternV1alpha1().WebhookDeliveries(w.Namespace).Delete(t.Context(), "nothing",
		metav1.DeleteOptions{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("got %v, want NotFound", err)
	}
}

func TestKubectlDelete_CreateAgain(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	for _, ref := range []string{"v1", "v2"} {
		w.deliver(delivery("again", toWeb+", ref: "+ref))
		w.mustHold(gatewaySyncs, "web", requestedRef, ref)
		w.kubectl("", "delete", "whd", "again")
	}
	w.mustHaveRecords()
}
