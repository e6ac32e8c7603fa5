// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"

	"k8s.io/apiserver/pkg/admission"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/delivery"
)

// admissionChain is what the framework makes of the enabled plugins.
type admissionChain interface {
	admission.MutationInterface
	admission.ValidationInterface
}

// receivingAdmission receives each delivery that is created as an object before the chain sees it. Policies would
// otherwise look at an object without events, and webhooks at one with a payload and a signature in it.
type receivingAdmission struct {
	admissionChain
	deliverer *delivery.Deliverer
}

// Handles says that every creation passes here, also when no plugin is enabled: receiving is not optional.
func (a *receivingAdmission) Handles(operation admission.Operation) bool {
	return operation == admission.Create || a.admissionChain.Handles(operation)
}

// Admit receives a delivery, and mutates it or any other object.
func (a *receivingAdmission) Admit(ctx context.Context, attributes admission.Attributes, objects admission.ObjectInterfaces) error {
	received, ok := createdDelivery(attributes)
	if !ok {
		return a.admissionChain.Admit(ctx, attributes, objects)
	}
	received.Namespace = attributes.GetNamespace()
	restorePayload(ctx, received)
	_, err := delivery.Redact(attributes.GetUserInfo(), nil, a.receive(ctx, received, attributes, objects))
	return err
}

func (a *receivingAdmission) receive(ctx context.Context, received *postern.WebhookDelivery, attributes admission.Attributes, objects admission.ObjectInterfaces) error {
	if attributes.IsDryRun() {
		if err := a.deliverer.AllowDryRun(ctx, received, attributes.GetUserInfo()); err != nil {
			return err
		}
	}
	if err := a.deliverer.ReceiveObject(ctx, received, attributes.GetUserInfo(), delivery.QuerySecretFrom(ctx)); err != nil {
		return err
	}
	return a.deliverer.Mutate(ctx, attributes, objects)
}

// Validate validates a delivery that Admit received, or any other object.
func (a *receivingAdmission) Validate(ctx context.Context, attributes admission.Attributes, objects admission.ObjectInterfaces) error {
	if _, ok := createdDelivery(attributes); !ok {
		return a.admissionChain.Validate(ctx, attributes, objects)
	}
	_, err := delivery.Redact(attributes.GetUserInfo(), nil, a.deliverer.Validate(ctx, attributes, objects))
	return err
}

func createdDelivery(attributes admission.Attributes) (*postern.WebhookDelivery, bool) {
	created, ok := attributes.GetObject().(*postern.WebhookDelivery)
	return created, ok && attributes.GetOperation() == admission.Create && attributes.GetSubresource() == ""
}
