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
)

// carryTimeout bounds the record and the write, and once more the final status: what the client can't stop. Together that
// is less than the 34 seconds that the framework gives the creation of an object
// (requestTimeoutUpperBound in k8s.io/apiserver, pkg/endpoints/handlers).
const carryTimeout = 15 * time.Second

// Carry takes a delivery that was received and admitted to its targets, and returns its record.
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
		d.ignore(delivery, ReasonNothingRequested, "admission left nothing to request")
		return d.record(ctx, delivery, dryRun)
	}
	tasks, err := d.tasksOf(ctx, delivery)
	if err != nil {
		return nil, err
	}
	if len(tasks) == 0 {
		d.ignore(delivery, ReasonNoTarget, "nothing in this namespace wants what was pushed")
		return d.record(ctx, delivery, dryRun)
	}
	if dryRun {
		if err := d.write(ctx, delivery, tasks, dryRun); err != nil {
			return nil, err
		}
		return d.record(ctx, delivery, dryRun)
	}
	return d.carryThrough(ctx, delivery, tasks)
}

// carryThrough stores the record before any target is written, so that nothing is written that no record tells of. Once
// begun it goes on to the end: many senders hang up after a few seconds, and a record that says Pending would be all that
// is left of what they sent.
func (d *Deliverer) carryThrough(ctx context.Context, delivery *postern.WebhookDelivery, tasks []task) (*postern.WebhookDelivery, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), carryTimeout)
	defer cancel()
	delivery.Status.Phase = postern.DeliveryPending
	recorded, err := d.record(ctx, delivery, false)
	if err != nil {
		return nil, err
	}
	writeErr := d.write(ctx, recorded, tasks, false)
	d.report(recorded)
	return d.close(ctx, recorded), writeErr
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

// close stores the final status, also when the write has used up its time. What was written stays written and the record
// exists, so a failure here is no failure of the delivery; it only leaves a record that says Pending.
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

// ignore sets the status of a delivery that nothing is done for; a reason that is there already stays.
func (d *Deliverer) ignore(delivery *postern.WebhookDelivery, reason, message string) {
	delivery.Status.Phase = postern.DeliveryIgnored
	if delivery.Status.Reason == "" {
		delivery.Status.Reason, delivery.Status.Message = reason, message
	}
	setCondition(delivery, postern.ConditionApplied, metav1.ConditionFalse, delivery.Status.Reason, delivery.Status.Message, d.Now())
}
