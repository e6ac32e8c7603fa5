// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/apis/postern/validation"
)

// admit runs the server's admission chain on a delivery as if it were created as an object, so that a policy on CREATE
// of webhookdeliveries applies to every endpoint.
func (d *Deliverer) admit(ctx context.Context, delivery *postern.WebhookDelivery, sender user.Info, dryRun bool) error {
	err := checkContext(ctx)
	if err == nil {
		err = d.admitAsObject(ctx, delivery, sender, dryRun)
	}
	if err != nil {
		d.observe(ctx, delivery, err)
	}
	return err
}

func (d *Deliverer) admitAsObject(
	ctx context.Context, delivery *postern.WebhookDelivery, sender user.Info, dryRun bool,
) error {
	ctx, done := startStage(ctx, stageAdmit)
	defer done()
	options := &metav1.CreateOptions{}
	if dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	attributes := admission.NewAttributesRecord(delivery, nil,
		v1alpha1.SchemeGroupVersion.WithKind("WebhookDelivery"), delivery.Namespace, delivery.Name,
		v1alpha1.SchemeGroupVersion.WithResource("webhookdeliveries"), "",
		admission.Create, options, dryRun, sender)
	if err := d.mutate(ctx, delivery, attributes, d.Objects); err != nil {
		return err
	}
	return d.validate(ctx, attributes, d.Objects)
}

// Mutate runs mutating admission on a received delivery. It rejects changes to what was verified, for which target, and
// by which sender.
func (d *Deliverer) Mutate(
	ctx context.Context, attributes admission.Attributes, objects admission.ObjectInterfaces,
) error {
	delivery := attributes.GetObject().(*postern.WebhookDelivery)
	err := d.mutate(ctx, delivery, attributes, objects)
	if err != nil {
		d.observe(ctx, delivery, err)
	}
	return err
}

// Validate runs validating admission on a received delivery.
func (d *Deliverer) Validate(
	ctx context.Context, attributes admission.Attributes, objects admission.ObjectInterfaces,
) error {
	err := d.validate(ctx, attributes, objects)
	if err != nil {
		d.observe(ctx, attributes.GetObject().(*postern.WebhookDelivery), err)
	}
	return err
}

func (d *Deliverer) validate(
	ctx context.Context, attributes admission.Attributes, objects admission.ObjectInterfaces,
) error {
	validating, ok := d.Admission.(admission.ValidationInterface)
	if !ok || !validating.Handles(admission.Create) {
		return nil
	}
	return validating.Validate(ctx, attributes, objects)
}

func (d *Deliverer) mutate(
	ctx context.Context, delivery *postern.WebhookDelivery, attributes admission.Attributes,
	objects admission.ObjectInterfaces,
) error {
	mutating, ok := d.Admission.(admission.MutationInterface)
	if !ok || !mutating.Handles(admission.Create) {
		return nil
	}
	received := delivery.DeepCopy()
	if err := mutating.Admit(ctx, attributes, objects); err != nil {
		return err
	}
	if errs := validation.ValidateAdmitted(delivery, received); len(errs) > 0 {
		return invalid(delivery, errs)
	}
	return nil
}
