// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/credential"
)

// Redeliver delivers again what a record says was requested, however old it is, and records it as a new delivery. The
// original sender can no longer be verified, so the cluster must have authenticated the caller; RBAC has authorized it.
func (d *Deliverer) Redeliver(
	ctx context.Context, original *postern.WebhookDelivery, sender user.Info, dryRun bool,
) (*postern.WebhookDelivery, error) {
	delivery := &postern.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{Namespace: original.Namespace, GenerateName: original.Spec.Source + "-"},
		Spec: postern.WebhookDeliverySpec{
			Source: original.Spec.Source, Target: original.Spec.Target, Headers: original.Spec.Headers,
			RedeliveryOf: original.Name, Events: eventsToRedeliver(original),
		},
	}
	// The original is shared.
	return d.Deliver(ctx, &Request{Delivery: delivery.DeepCopy(), User: sender, DryRun: dryRun, redelivery: true})
}

// eventsToRedeliver returns the events of a record. Of several git refs for a named target, those count that were
// chosen for it: by now it might choose others.
func eventsToRedeliver(original *postern.WebhookDelivery) []postern.DeliveryEvent {
	events, results := original.Spec.Events, original.Status.Targets
	if original.Spec.Target == nil || len(results) == 0 || !hasSeveralGitRefs(events) {
		return events
	}
	return slices.DeleteFunc(slices.Clone(events), func(e postern.DeliveryEvent) bool {
		isChosen := func(r postern.TargetResult) bool {
			return r.Ref == e.Ref && (r.Repository == "" || r.Repository == e.Repository)
		}
		return e.Image == nil && !slices.ContainsFunc(results, isChosen)
	})
}

// receiveAgain sets the sender and the receipt of a redelivery.
func (d *Deliverer) receiveAgain(ctx context.Context, r *Request) error {
	if err := RequireIdentity(r.User, "a delivery is redelivered"); err != nil {
		return err
	}
	if len(r.Delivery.Spec.Events) == 0 {
		return apierrors.NewBadRequest("the delivery requested nothing, so there is nothing to redeliver")
	}
	d.setReceipt(ctx, r.Delivery, nil)
	method, _ := credential.Identify(r.User)
	d.setSender(r.Delivery, r.User, credential.Proof{Method: method})
	return nil
}
