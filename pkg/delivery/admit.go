// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/apis/postern/validation"
)

// admit runs the server's admission chain on a delivery as if it were created as an object, so that a policy on CREATE
// of webhookdeliveries applies to every endpoint.
func (d *Deliverer) admit(ctx context.Context, r *Request) error {
	if err := checkContext(ctx); err != nil {
		return err
	}
	ctx, done := startStage(ctx, stageAdmit)
	defer done()
	options := &metav1.CreateOptions{}
	if r.DryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	attributes := admission.NewAttributesRecord(r.Delivery, nil,
		v1alpha1.SchemeGroupVersion.WithKind("WebhookDelivery"), r.Delivery.Namespace, r.Delivery.Name,
		v1alpha1.SchemeGroupVersion.WithResource("webhookdeliveries"), "",
		admission.Create, options, r.DryRun, r.User)
	if err := d.mutate(ctx, r.Delivery, attributes, d.Objects); err != nil {
		return err
	}
	return d.validate(ctx, attributes, d.Objects)
}

// validate runs validating admission.
func (d *Deliverer) validate(
	ctx context.Context, attributes admission.Attributes, objects admission.ObjectInterfaces,
) error {
	validating, ok := d.Admission.(admission.ValidationInterface)
	if !ok || !validating.Handles(admission.Create) {
		return nil
	}
	return validating.Validate(ctx, attributes, objects)
}

// mutate runs mutating admission. It rejects changes to what was verified, for which target, and by which sender.
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
