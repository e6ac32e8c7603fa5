// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/klog/v2"

	"postern.dev/postern/apis/postern"
)

// answerTimeout bounds recording and writing, which the client can't cancel. Targets that are not written by then are
// retried later. GitHub, for one, hangs up after ten seconds.
const answerTimeout = 8 * time.Second

// pendingDelay is how long a delivery may be written before it is recorded as Pending. It exceeds the time of almost
// all writes to a kube-apiserver under load, since a record that is stored twice costs as much as the write.
const pendingDelay = 500 * time.Millisecond

// execute writes the targets of an admitted delivery and records it, or answers a repeat.
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

// recordAndWrite writes the targets of a delivery and records it. If all targets are written soon, the record is stored
// once, with the outcome. Otherwise, or if r.recordFirst is set, the delivery is recorded as Pending, so that it is
// retried if it is interrupted, and its final status is stored after the answer. It is not canceled with its request,
// since many senders hang up after a few seconds.
func (d *Deliverer) recordAndWrite(
	ctx context.Context, r *Request, tasks []task,
) (*postern.WebhookDelivery, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	watch := d.newTargetWatch()
	for i := range tasks {
		tasks[i].watch = watch
	}
	if r.recordFirst {
		record, err := d.recordPending(ctx, r)
		if err != nil {
			return nil, err
		}
		return d.completePending(ctx, record, d.write(ctx, tasks, false), watch)
	}
	pending := d.recordPendingLater(ctx, r)
	defer pending.stop() // also if a write panics
	results := d.write(ctx, tasks, false)
	if pending.stop() {
		return d.recordOutcome(ctx, r, results, watch)
	}
	record, err := pending.wait()
	if err != nil {
		d.noteUnrecorded(r, err)
		return nil, err
	}
	return d.completePending(ctx, record, results, watch)
}

// pendingRecord is a delivery that is recorded as Pending unless it is written by then.
type pendingRecord struct {
	timer    *time.Timer
	recorded chan struct{}
	record   *postern.WebhookDelivery
	err      error
}

// recordPendingLater records a delivery as Pending after pendingDelay. Meanwhile it is written in this goroutine, which
// costs less than another one whose stack has to grow.
func (d *Deliverer) recordPendingLater(ctx context.Context, r *Request) *pendingRecord {
	p := &pendingRecord{recorded: make(chan struct{})}
	p.timer = time.AfterFunc(pendingDelay, func() {
		defer close(p.recorded)
		defer func() {
			if problem := recover(); problem != nil { // the server recovers only from panics of its own goroutines
				klog.FromContext(ctx).Error(nil, "Recording a delivery panicked", "panic", problem,
					"stack", string(debug.Stack()))
				p.err = apierrors.NewInternalError(errors.New("the delivery can't be recorded, see Postern's log"))
			}
		}()
		p.record, p.err = d.recordPending(ctx, r)
	})
	return p
}

// stop reports whether the delivery is not recorded, and will not be.
func (p *pendingRecord) stop() bool { return p.timer.Stop() }

// wait returns the record. Call it only if stop returned false.
func (p *pendingRecord) wait() (*postern.WebhookDelivery, error) {
	<-p.recorded
	return p.record, p.err
}

// recordPending records a delivery whose targets are not written yet.
func (d *Deliverer) recordPending(ctx context.Context, r *Request) (*postern.WebhookDelivery, error) {
	status := &r.Delivery.Status
	status.Phase, status.Reason, status.Message = postern.DeliveryPending, "", "" // not Attempted
	return d.record(ctx, r)
}

// completePending sets the outcome of a delivery that is recorded as Pending, and stores it after the answer.
func (d *Deliverer) completePending(
	ctx context.Context, record *postern.WebhookDelivery, results []writeResult, watch *targetWatch,
) (*postern.WebhookDelivery, error) {
	setOutcome(record, resultsOf(results), d.Now())
	d.recordEvents(record, record.Status.Targets)
	d.storeFinalStatusAsync(ctx, record, watch)
	return answerOutcome(record, results)
}

// recordOutcome records a delivery whose targets are written.
func (d *Deliverer) recordOutcome(
	ctx context.Context, r *Request, results []writeResult, watch *targetWatch,
) (*postern.WebhookDelivery, error) {
	setOutcome(r.Delivery, resultsOf(results), d.Now())
	listed := r.Delivery.Status.Targets
	store := func(fitting *postern.WebhookDelivery) (*postern.WebhookDelivery, error) {
		r.Delivery = fitting
		return d.record(ctx, r)
	}
	record, err := storeFitting(ctx, r.Delivery, store)
	if err != nil {
		d.noteUnrecorded(r, err)
		return nil, err
	}
	d.recordEvents(record, listed)
	watch.start(record)
	return answerOutcome(record, results)
}

// noteUnrecorded remembers the receipt of a delivery that may be written but could not be recorded.
func (d *Deliverer) noteUnrecorded(r *Request, err error) {
	if firstRecord(err) == nil {
		d.receipts.note(r.Delivery)
	}
}

// answerOutcome returns the record, and the error for the client if the delivery failed.
func answerOutcome(record *postern.WebhookDelivery, results []writeResult) (*postern.WebhookDelivery, error) {
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
