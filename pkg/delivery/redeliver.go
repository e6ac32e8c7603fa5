// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/user"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/credential"
)

// Redeliver delivers again what a record says was requested, however old it is, and records it as a new delivery. The
// original sender can no longer be verified, so the cluster must have authenticated the caller; RBAC has authorized it.
func (d *Deliverer) Redeliver(
	ctx context.Context, original *postern.WebhookDelivery, sender user.Info, dryRun bool,
) (*postern.WebhookDelivery, error) {
	ctx, span := d.tracer.Start(ctx, spanRedeliver)
	defer span.End()
	delivery := &postern.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{Namespace: original.Namespace, GenerateName: original.Spec.Source + "-"},
		Spec: postern.WebhookDeliverySpec{
			Source: original.Spec.Source, Target: original.Spec.Target, Headers: original.Spec.Headers,
			RedeliveryOf: original.Name, Events: original.Spec.Events,
		},
	}
	delivery = delivery.DeepCopy() // the original is shared
	if err := d.receiveAgain(ctx, delivery, sender); err != nil {
		d.observe(ctx, delivery, err)
		return nil, err
	}
	if err := d.admit(ctx, delivery, sender, dryRun); err != nil {
		return nil, err
	}
	return d.execute(ctx, delivery, executeOptions{dryRun: dryRun, record: d.recordWhileWriting})
}

func (d *Deliverer) receiveAgain(ctx context.Context, delivery *postern.WebhookDelivery, sender user.Info) error {
	if err := RequireIdentity(sender, "a delivery is redelivered"); err != nil {
		return err
	}
	method, _ := credential.Identify(sender)
	if len(delivery.Spec.Events) == 0 {
		return apierrors.NewBadRequest("the delivery requested nothing, so there is nothing to redeliver")
	}
	delivery.Status = postern.WebhookDeliveryStatus{
		AuditID: audit.GetAuditIDTruncated(ctx), ReceivedTime: d.receiptTime(),
	}
	d.setSender(delivery, sender, method)
	return nil
}
