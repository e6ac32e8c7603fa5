// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"

	"k8s.io/apiserver/pkg/admission"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/apiserver/filters"
	"postern.dev/postern/pkg/delivery"
)

// admissionChain is the framework's chain of enabled admission plugins.
type admissionChain interface {
	admission.MutationInterface
	admission.ValidationInterface
}

// receivingAdmission receives a delivery that is created as an object before the admission chain runs. Otherwise
// policies would see an object without events, and admission webhooks would see its payload and signature. For the same
// reason it checks an update first, which may repeat them.
type receivingAdmission struct {
	admissionChain
	deliverer *delivery.Deliverer
}

// Handles returns true for every create and update, even if no plugin is enabled: deliveries must always be received.
func (a *receivingAdmission) Handles(operation admission.Operation) bool {
	return operation == admission.Create || operation == admission.Update || a.admissionChain.Handles(operation)
}

// Admit receives and mutates a delivery. It only mutates other objects.
func (a *receivingAdmission) Admit(
	ctx context.Context, attributes admission.Attributes, objects admission.ObjectInterfaces,
) error {
	if updated, old, ok := updatedDelivery(attributes); ok {
		filters.RestorePayload(ctx, updated)
		if err := delivery.ReceiveUpdate(updated, old); err != nil {
			return err
		}
	}
	received, ok := createdDelivery(attributes)
	if !ok {
		return a.admissionChain.Admit(ctx, attributes, objects)
	}
	received.Namespace = attributes.GetNamespace()
	filters.RestorePayload(ctx, received)
	_, err := delivery.Redact(attributes.GetUserInfo(), nil, a.receive(ctx, received, attributes, objects))
	return err
}

func (a *receivingAdmission) receive(
	ctx context.Context, received *postern.WebhookDelivery, attributes admission.Attributes,
	objects admission.ObjectInterfaces,
) error {
	secret := delivery.QuerySecretFrom(ctx)
	err := a.deliverer.ReceiveObject(ctx, received, attributes.GetUserInfo(), secret, attributes.IsDryRun())
	if err != nil {
		return err
	}
	return a.deliverer.Mutate(ctx, attributes, objects)
}

// Validate validates a delivery received by Admit, or any other object.
func (a *receivingAdmission) Validate(
	ctx context.Context, attributes admission.Attributes, objects admission.ObjectInterfaces,
) error {
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

func updatedDelivery(attributes admission.Attributes) (updated, old *postern.WebhookDelivery, ok bool) {
	updated, isDelivery := attributes.GetObject().(*postern.WebhookDelivery)
	old, wasDelivery := attributes.GetOldObject().(*postern.WebhookDelivery)
	return updated, old, isDelivery && wasDelivery && attributes.GetOperation() == admission.Update
}
