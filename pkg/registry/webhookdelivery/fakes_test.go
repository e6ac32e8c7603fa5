// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package webhookdelivery

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/install"
)

func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	install.Install(scheme)
	return scheme
}

// applied returns the record of a delivery that is five days old.
func applied() *postern.WebhookDelivery {
	return &postern.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "demo", Name: "github-x", ResourceVersion: "7", Labels: map[string]string{"team": "a"},
			CreationTimestamp: metav1.NewTime(time.Now().Add(-5 * 24 * time.Hour)),
		},
		Spec: postern.WebhookDeliverySpec{
			Source: "github",
			Target: &postern.TargetReference{Kind: postern.TargetGatewaySync, Name: "plant"},
			Events: []postern.DeliveryEvent{{Source: "github", Ref: "main"}, {Source: "github", Ref: "v2.0.0"}},
		},
		Status: postern.WebhookDeliveryStatus{
			Phase: postern.DeliveryApplied, Reason: "Requested",
			Sender: &postern.Sender{Name: "system:anonymous", Method: "HMAC"},
		},
	}
}

// fakeExecutor returns the delivery with the given name and records its arguments.
type fakeExecutor struct {
	executed *postern.WebhookDelivery
	dryRun   bool
}

func (e *fakeExecutor) Drain() {}

func (e *fakeExecutor) Execute(
	_ context.Context, delivery *postern.WebhookDelivery, dryRun bool,
) (*postern.WebhookDelivery, error) {
	e.executed, e.dryRun = delivery, dryRun
	record := delivery.DeepCopy()
	record.Status.Phase = postern.DeliveryApplied
	return record, nil
}
