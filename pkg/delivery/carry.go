// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
)

// carryTimeout bounds the record and the write, and once more the final status: what the client can't stop. Together that
// is less than the 34 seconds that the framework gives the creation of an object
// (requestTimeoutUpperBound in k8s.io/apiserver, pkg/endpoints/handlers).
const carryTimeout = 15 * time.Second

// Carry takes a delivery that was received and admitted to its target, and returns its record.
func (d *Deliverer) Carry(ctx context.Context, delivery *postern.WebhookDelivery, dryRun bool) (*postern.WebhookDelivery, error) {
	carried, err := d.carry(ctx, delivery, dryRun)
	if carried != nil {
		delivery = carried
	}
	if !dryRun || err != nil {
		d.finished(ctx, delivery, err)
	}
	return carried, err
}

func (d *Deliverer) carry(ctx context.Context, delivery *postern.WebhookDelivery, dryRun bool) (*postern.WebhookDelivery, error) {
	if delivery.Status.Sender == nil {
		return nil, apierrors.NewInternalError(errors.New("the delivery was not received, so nobody has proved anything"))
	}
	if len(delivery.Spec.Events) == 0 {
		d.ignore(delivery)
		return d.record(ctx, delivery, dryRun)
	}
	key := keyOf(delivery)
	if err := d.resolve(ctx, key); err != nil {
		return nil, err
	}
	if dryRun {
		if err := d.write(ctx, delivery, key, dryRun); err != nil {
			return nil, err
		}
		return d.record(ctx, delivery, dryRun)
	}
	return d.carryThrough(ctx, delivery, key)
}

// carryThrough stores the record before the target is written, so that nothing is written that no record tells of. Once
// begun it goes on to the end: many senders hang up after a few seconds, and a record that says Pending would be all that
// is left of what they sent.
func (d *Deliverer) carryThrough(ctx context.Context, delivery *postern.WebhookDelivery, key target.Key) (*postern.WebhookDelivery, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), carryTimeout)
	defer cancel()
	delivery.Status.Phase = postern.DeliveryPending
	recorded, err := d.record(ctx, delivery, false)
	if err != nil {
		return nil, err
	}
	writeErr := d.write(ctx, recorded, key, false)
	d.report(recorded, key)
	return d.close(ctx, recorded), writeErr
}

func (d *Deliverer) resolve(ctx context.Context, key target.Key) error {
	defer timeStage(stageResolve)()
	if err := d.Targets.Resolve(ctx, key); err != nil {
		return answerFor(err)
	}
	return nil
}

func (d *Deliverer) record(ctx context.Context, delivery *postern.WebhookDelivery, dryRun bool) (*postern.WebhookDelivery, error) {
	defer timeStage(stageRecord)()
	recorded, err := d.Records.Create(ctx, delivery, dryRun)
	var status apierrors.APIStatus
	if err != nil && !errors.As(err, &status) {
		return nil, answerUnavailable("the delivery could not be recorded just now", err)
	}
	return recorded, err
}

// write writes the target and sets the status accordingly. Its error is what to answer.
func (d *Deliverer) write(ctx context.Context, delivery *postern.WebhookDelivery, key target.Key, dryRun bool) error {
	defer timeStage(stageWrite)()
	// One target holds one ref: of several events, the last is the one that stays.
	event := delivery.Spec.Events[len(delivery.Spec.Events)-1]
	now := d.Now()
	outcome, err := d.Targets.Write(ctx, key, requestFor(event, now), dryRun)
	if err != nil {
		setFailed(delivery, event, err, now)
		return answerFor(err)
	}
	setApplied(delivery, event, outcome, now)
	return nil
}

// close stores the final status, also when the write has used up its time. What was written stays written and the record exists, so a failure here is no failure
// of the delivery; it only leaves a record that says Pending.
func (d *Deliverer) close(ctx context.Context, delivery *postern.WebhookDelivery) *postern.WebhookDelivery {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), carryTimeout)
	defer cancel()
	closed, err := d.Records.UpdateStatus(ctx, delivery)
	if err != nil {
		if !apierrors.IsNotFound(err) { // deleted meanwhile, by someone who may
			klog.FromContext(ctx).Error(err, "Could not store the final status of a delivery", "delivery", klog.KObj(delivery))
		}
		return delivery
	}
	return closed
}

func (d *Deliverer) ignore(delivery *postern.WebhookDelivery) {
	delivery.Status.Phase = postern.DeliveryIgnored
	if delivery.Status.Reason == "" { // admission took the events away
		delivery.Status.Reason = ReasonNothingRequested
		delivery.Status.Message = "admission left nothing to request"
	}
	setCondition(delivery, postern.ConditionApplied, metav1.ConditionFalse, delivery.Status.Reason, delivery.Status.Message, d.Now())
}
