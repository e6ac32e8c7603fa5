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

// answerTimeout bounds recording and writing, which the client can't stop. Whatever is not written by then is tried
// again later; GitHub, for one, hangs up after ten seconds.
const answerTimeout = 8 * time.Second

// Execute takes a delivery that was created as an object, received and admitted, to its targets, and returns its record.
// Nothing is written unless there is a record: the client chose its name, which may be taken.
func (d *Deliverer) Execute(ctx context.Context, delivery *postern.WebhookDelivery, dryRun bool) (*postern.WebhookDelivery, error) {
	return d.execute(ctx, delivery, executeOptions{dryRun: dryRun, record: d.recordThenWrite})
}

// executeOptions is how a delivery is carried.
type executeOptions struct {
	dryRun bool
	// first is the record of the delivery that this one repeats, and beside its outcome if it was carried out in this
	// process meanwhile; nil if there is none.
	first    *postern.WebhookDelivery
	inFlight *call
	// record stores the record of a delivery and writes its targets.
	record func(ctx context.Context, delivery *postern.WebhookDelivery, tasks []task) (*postern.WebhookDelivery, []writeResult, error)
}

func (d *Deliverer) execute(ctx context.Context, delivery *postern.WebhookDelivery, m executeOptions) (*postern.WebhookDelivery, error) {
	sender := delivery.Status.Sender
	carried, err := d.executeOrRepeat(ctx, delivery, m)
	if carried != nil {
		told := *carried
		told.Status.Sender = sender // and not that of the first delivery, whose record answers a repeat
		delivery = &told
	}
	if m.dryRun && err == nil {
		annotateRequest(ctx, delivery, nil)
		logDryRun(ctx, delivery)
		return carried, nil
	}
	d.observe(ctx, delivery, err)
	return carried, err
}

func (d *Deliverer) executeOrRepeat(ctx context.Context, delivery *postern.WebhookDelivery, m executeOptions) (*postern.WebhookDelivery, error) {
	switch {
	case m.inFlight != nil:
		return d.repeatInFlight(ctx, m.inFlight, delivery)
	case m.first != nil:
		return d.repeat(ctx, m.first, delivery, m.dryRun)
	}
	recorded, err := d.executeNew(ctx, delivery, m)
	if first := firstRecord(err); first != nil { // another replica has recorded it meanwhile
		return d.repeat(ctx, first, delivery, m.dryRun)
	}
	return recorded, err
}

func (d *Deliverer) executeNew(ctx context.Context, delivery *postern.WebhookDelivery, m executeOptions) (*postern.WebhookDelivery, error) {
	if delivery.Status.Sender == nil {
		return nil, apierrors.NewInternalError(errors.New("the delivery was not received, so nobody has proved anything"))
	}
	if err := checkStorable(delivery); err != nil {
		return nil, err
	}
	if !m.dryRun {
		if err := d.Accepting(delivery.Namespace); err != nil {
			return nil, err
		}
	}
	if len(delivery.Spec.Events) == 0 {
		d.setIgnored(delivery, ReasonNothingRequested, "admission left nothing to request")
		return d.recordOnly(ctx, delivery, m)
	}
	tasks, err := d.resolve(ctx, delivery)
	switch {
	case mayFindLater(err) && !m.dryRun:
		d.setPending(delivery, err)
		return d.recordOnly(ctx, delivery, m)
	case apierrors.IsRequestEntityTooLargeError(err):
		return nil, err
	case err != nil:
		return nil, answerFor(err)
	case len(tasks) == 0:
		d.setIgnored(delivery, ReasonNoTarget, noMatchMessage("nothing in this namespace", delivery.Spec.Events))
		return d.recordOnly(ctx, delivery, m)
	case m.dryRun:
		written := d.write(ctx, tasks, true)
		if err := worstError(written); err != nil {
			return nil, err
		}
		setOutcome(delivery, resultsOf(written), d.Now())
		return d.recordOnly(ctx, delivery, m)
	}
	return d.recordAndWrite(ctx, delivery, tasks, m)
}

// recordAndWrite goes on to the end once begun: many senders hang up after a few seconds. The record says Pending until
// the final status is stored, after the answer, so that whatever is cut short is taken up again.
func (d *Deliverer) recordAndWrite(ctx context.Context, delivery *postern.WebhookDelivery, tasks []task, m executeOptions) (*postern.WebhookDelivery, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	status := &delivery.Status
	status.Phase, status.Reason, status.Message = postern.DeliveryPending, "", "" // what Attempted tells from one that is over
	recorded, written, err := m.record(ctx, delivery, tasks)
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

// recordThenWrite writes only what is recorded.
func (d *Deliverer) recordThenWrite(ctx context.Context, delivery *postern.WebhookDelivery, tasks []task) (*postern.WebhookDelivery, []writeResult, error) {
	recorded, err := d.record(ctx, delivery, false)
	if err != nil {
		return nil, nil, err
	}
	return recorded, d.write(ctx, tasks, false), nil
}

// recordWhileWriting does both at once, so that the answer takes as long as the slower of the two.
func (d *Deliverer) recordWhileWriting(ctx context.Context, delivery *postern.WebhookDelivery, tasks []task) (*postern.WebhookDelivery, []writeResult, error) {
	written := make(chan []writeResult, 1)
	go func() { written <- d.write(ctx, tasks, false) }()
	recorded, err := d.record(ctx, delivery, false)
	if err != nil && firstRecord(err) == nil {
		d.receipts.note(delivery)
	}
	return recorded, <-written, err
}

// recordOnly stores the record of a delivery for which nothing is written now.
func (d *Deliverer) recordOnly(ctx context.Context, delivery *postern.WebhookDelivery, m executeOptions) (*postern.WebhookDelivery, error) {
	return d.record(ctx, delivery, m.dryRun)
}

// setPending sets the status of a delivery whose targets can't be found just now; they are looked for again later.
func (d *Deliverer) setPending(delivery *postern.WebhookDelivery, cause error) {
	status := &delivery.Status
	status.Phase, status.Reason, status.Message = postern.DeliveryPending, ReasonTargetUnavailable, truncateText(cause.Error())
	setCondition(delivery, postern.ConditionApplied, metav1.ConditionFalse, status.Reason, status.Message, d.Now())
}

func (d *Deliverer) record(ctx context.Context, delivery *postern.WebhookDelivery, dryRun bool) (*postern.WebhookDelivery, error) {
	ctx, done := startStage(ctx, stageRecord)
	defer done()
	return d.createRecord(ctx, delivery, dryRun)
}

// setIgnored sets the status of a delivery that nothing is done for; a reason that is there already stays.
func (d *Deliverer) setIgnored(delivery *postern.WebhookDelivery, reason, message string) {
	delivery.Status.Phase = postern.DeliveryIgnored
	if delivery.Status.Reason == "" {
		delivery.Status.Reason, delivery.Status.Message = reason, message
	}
	setCondition(delivery, postern.ConditionApplied, metav1.ConditionFalse, delivery.Status.Reason, delivery.Status.Message, d.Now())
}
