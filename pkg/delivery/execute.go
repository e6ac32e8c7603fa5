// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"postern.dev/postern/apis/postern"
)

// answerTimeout bounds recording and writing, which the client can't cancel. Targets that are not written by then are
// retried later. GitHub, for one, hangs up after ten seconds.
const answerTimeout = 8 * time.Second

// execute records an admitted delivery and writes its targets, or answers a repeat.
func (d *Deliverer) execute(ctx context.Context, r *Request) (*postern.WebhookDelivery, error) {
	if r.first != nil || r.inFlight != nil {
		return d.repeat(ctx, r)
	}
	if err := d.checkExecutable(r); err != nil {
		return nil, err
	}
	tasks, err := d.resolve(ctx, r)
	if err != nil {
		return nil, err
	}
	var record *postern.WebhookDelivery
	switch {
	case len(tasks) == 0:
		record, err = d.record(ctx, r)
	case r.DryRun:
		record, err = d.dryRun(ctx, r, tasks)
	default:
		record, err = d.recordAndWrite(ctx, r, tasks)
	}
	if r.first = firstRecord(err); r.first != nil { // another replica has recorded it concurrently
		return d.repeat(ctx, r)
	}
	return record, err
}

// dryRun returns the record that a delivery would have.
func (d *Deliverer) dryRun(ctx context.Context, r *Request, tasks []task) (*postern.WebhookDelivery, error) {
	written := d.write(ctx, tasks, true)
	if err := worstError(written); err != nil {
		return nil, err
	}
	setOutcome(r.Delivery, resultsOf(written), d.Now())
	return d.record(ctx, r)
}

// checkExecutable returns an error for a delivery that was not received, that can't be stored, or that its namespace
// does not accept.
func (d *Deliverer) checkExecutable(r *Request) error {
	if r.Delivery.Status.Sender == nil {
		return apierrors.NewInternalError(errors.New("the delivery was not received: its sender is not verified"))
	}
	if err := checkStorable(r.Delivery); err != nil || r.DryRun {
		return err
	}
	return d.Accepting(r.Delivery.Namespace)
}

// recordAndWrite records a delivery as Pending and writes its targets, concurrently unless r.recordFirst is set: the
// answer then takes as long as the slower of the two. The final status is stored after the answer, so that an
// interrupted delivery is retried. It is not canceled with its request, since many senders hang up after a few seconds.
func (d *Deliverer) recordAndWrite(
	ctx context.Context, r *Request, tasks []task,
) (*postern.WebhookDelivery, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	status := &r.Delivery.Status
	status.Phase, status.Reason, status.Message = postern.DeliveryPending, "", "" // not Attempted
	written := make(chan []writeResult, 1)
	write := func() { written <- d.write(ctx, tasks, false) }
	if !r.recordFirst {
		go write()
	}
	record, err := d.record(ctx, r)
	switch {
	case err == nil && r.recordFirst:
		write()
	case err != nil && !r.recordFirst:
		if firstRecord(err) == nil {
			d.receipts.note(r.Delivery)
		}
		<-written
	}
	if err != nil {
		return nil, err
	}
	results := <-written
	setOutcome(record, resultsOf(results), d.Now())
	d.recordEvents(record, record.Status.Targets)
	d.storeFinalStatusAsync(ctx, record)
	if record.Status.Phase == postern.DeliveryFailed {
		return record, worstError(results)
	}
	return record, nil
}

// record creates the record of a delivery, under another name if an unrelated object has taken its name. If the
// delivery that it repeats has taken it, the error is a repeatError.
func (d *Deliverer) record(ctx context.Context, r *Request) (*postern.WebhookDelivery, error) {
	ctx, done := startStage(ctx, stageRecord)
	defer done()
	for {
		record, err := d.Records.Create(ctx, r.Delivery, r.DryRun)
		if r.Delivery.Status.Identity == "" || !apierrors.IsAlreadyExists(err) {
			return record, answerForRecord(err)
		}
		first, err := d.findFirst(ctx, r.Delivery)
		switch {
		case err != nil:
			return nil, err
		case first != nil:
			return nil, &repeatError{first}
		case ctx.Err() != nil:
			return nil, answerForRecord(ctx.Err())
		}
	}
}
