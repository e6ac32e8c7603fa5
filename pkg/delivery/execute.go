// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
)

// answerTimeout bounds recording and writing, which the client can't cancel. Targets that are not written by then are
// retried later. GitHub, for one, hangs up after ten seconds.
const answerTimeout = 8 * time.Second

// Execute takes a delivery that was created as an object, received and admitted, to its targets, and returns its
// record. It records first and then writes, because the name, which the client chose, may be taken.
func (d *Deliverer) Execute(
	ctx context.Context, delivery *postern.WebhookDelivery, dryRun bool,
) (*postern.WebhookDelivery, error) {
	return d.execute(ctx, delivery, executeOptions{dryRun: dryRun, record: d.recordThenWrite})
}

// executeOptions says how to execute a delivery.
type executeOptions struct {
	dryRun bool
	// first is the record of the delivery that this one repeats; nil if there is none.
	first *postern.WebhookDelivery
	// inFlight is the first delivery if this process has executed it in the meantime.
	inFlight *call
	// record stores the record of a delivery and writes its targets.
	record func(
		ctx context.Context, delivery *postern.WebhookDelivery, tasks []task,
	) (*postern.WebhookDelivery, []writeResult, error)
}

func (d *Deliverer) execute(
	ctx context.Context, delivery *postern.WebhookDelivery, options executeOptions,
) (*postern.WebhookDelivery, error) {
	sender := delivery.Status.Sender
	recorded, err := d.executeOrRepeat(ctx, delivery, options)
	if recorded != nil {
		observed := *recorded
		observed.Status.Sender = sender // the record that answers a repeat has the sender of the first delivery
		delivery = &observed
	}
	if options.dryRun && err == nil {
		annotateRequest(ctx, delivery, nil)
		logDryRun(ctx, delivery)
		return recorded, nil
	}
	d.observe(ctx, delivery, err)
	return recorded, err
}

func (d *Deliverer) executeOrRepeat(
	ctx context.Context, delivery *postern.WebhookDelivery, options executeOptions,
) (*postern.WebhookDelivery, error) {
	switch {
	case options.inFlight != nil:
		return d.repeatInFlight(ctx, options.inFlight, delivery)
	case options.first != nil:
		return d.repeat(ctx, options.first, delivery, options.dryRun)
	}
	recorded, err := d.executeNew(ctx, delivery, options)
	if first := firstRecord(err); first != nil { // another replica has recorded it concurrently
		return d.repeat(ctx, first, delivery, options.dryRun)
	}
	return recorded, err
}

func (d *Deliverer) executeNew(
	ctx context.Context, delivery *postern.WebhookDelivery, options executeOptions,
) (*postern.WebhookDelivery, error) {
	if delivery.Status.Sender == nil {
		return nil, apierrors.NewInternalError(errors.New("the delivery was not received: its sender is not verified"))
	}
	if err := checkStorable(delivery); err != nil {
		return nil, err
	}
	if !options.dryRun {
		if err := d.Accepting(delivery.Namespace); err != nil {
			return nil, err
		}
	}
	if len(delivery.Spec.Events) == 0 {
		d.setIgnored(delivery, ReasonNothingRequested, "admission left nothing to request")
		return d.recordOnly(ctx, delivery, options)
	}
	tasks, err := d.resolve(ctx, delivery)
	switch {
	case isTransient(err) && !options.dryRun:
		d.setPending(delivery, err)
		return d.recordOnly(ctx, delivery, options)
	case apierrors.IsRequestEntityTooLargeError(err):
		return nil, err
	case err != nil:
		return nil, answerFor(err)
	case len(tasks) == 0:
		d.setIgnored(delivery, ReasonNoTarget, noMatchMessage("nothing in this namespace", delivery.Spec.Events))
		return d.recordOnly(ctx, delivery, options)
	case options.dryRun:
		written := d.write(ctx, tasks, true)
		if err := worstError(written); err != nil {
			return nil, err
		}
		setOutcome(delivery, resultsOf(written), d.Now())
		return d.recordOnly(ctx, delivery, options)
	}
	return d.recordAndWrite(ctx, delivery, tasks, options)
}

// recordAndWrite is not canceled with its request, since many senders hang up after a few seconds. The record says
// Pending until the final status is stored after the answer, so that an interrupted delivery is retried.
func (d *Deliverer) recordAndWrite(
	ctx context.Context, delivery *postern.WebhookDelivery, tasks []task, options executeOptions,
) (*postern.WebhookDelivery, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	status := &delivery.Status
	status.Phase, status.Reason, status.Message = postern.DeliveryPending, "", "" // not Attempted
	recorded, written, err := options.record(ctx, delivery, tasks)
	if err != nil {
		return nil, err
	}
	setOutcome(recorded, resultsOf(written), d.Now())
	d.recordEvents(recorded, recorded.Status.Targets)
	d.storeFinalStatusAsync(ctx, recorded)
	if recorded.Status.Phase == postern.DeliveryFailed {
		return recorded, worstError(written)
	}
	return recorded, nil
}

// recordThenWrite writes only if the delivery could be recorded.
func (d *Deliverer) recordThenWrite(
	ctx context.Context, delivery *postern.WebhookDelivery, tasks []task,
) (*postern.WebhookDelivery, []writeResult, error) {
	recorded, err := d.record(ctx, delivery, false)
	if err != nil {
		return nil, nil, err
	}
	return recorded, d.write(ctx, tasks, false), nil
}

// recordWhileWriting records and writes concurrently, so that the answer takes as long as the slower of the two.
func (d *Deliverer) recordWhileWriting(
	ctx context.Context, delivery *postern.WebhookDelivery, tasks []task,
) (*postern.WebhookDelivery, []writeResult, error) {
	written := make(chan []writeResult, 1)
	go func() { written <- d.write(ctx, tasks, false) }()
	recorded, err := d.record(ctx, delivery, false)
	if err != nil && firstRecord(err) == nil {
		d.receipts.note(delivery)
	}
	return recorded, <-written, err
}

// recordOnly stores the record of a delivery and writes no target.
func (d *Deliverer) recordOnly(
	ctx context.Context, delivery *postern.WebhookDelivery, options executeOptions,
) (*postern.WebhookDelivery, error) {
	return d.record(ctx, delivery, options.dryRun)
}

// setPending sets the status of a delivery whose targets can't be found for now.
func (d *Deliverer) setPending(delivery *postern.WebhookDelivery, cause error) {
	status := &delivery.Status
	status.Phase, status.Reason = postern.DeliveryPending, ReasonTargetUnavailable
	status.Message = truncateText(cause.Error())
	setCondition(delivery, postern.ConditionApplied, metav1.ConditionFalse, status.Reason, status.Message, d.Now())
}

func (d *Deliverer) record(
	ctx context.Context, delivery *postern.WebhookDelivery, dryRun bool,
) (*postern.WebhookDelivery, error) {
	ctx, done := startStage(ctx, stageRecord)
	defer done()
	return d.createRecord(ctx, delivery, dryRun)
}

// setIgnored sets the status of a delivery for which nothing is done. It keeps a reason that is already set.
func (d *Deliverer) setIgnored(delivery *postern.WebhookDelivery, reason, message string) {
	status := &delivery.Status
	status.Phase = postern.DeliveryIgnored
	if status.Reason == "" {
		status.Reason, status.Message = reason, message
	}
	setCondition(delivery, postern.ConditionApplied, metav1.ConditionFalse, status.Reason, status.Message, d.Now())
}
