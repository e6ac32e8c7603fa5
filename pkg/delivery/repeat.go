// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"net/http"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/apierror"
)

// repeat answers a repeated delivery with the record of the first. It retries a failed or ignored delivery, with the
// first receipt, so that all requests received since take precedence. It leaves others unchanged, and one that this
// process has just executed.
func (d *Deliverer) repeat(ctx context.Context, r *Request) (*postern.WebhookDelivery, error) {
	if c := r.inFlight; c != nil {
		d.repeats.add(ctx, c.record, r.Delivery)
		return repeatAnswer(c.record), c.err
	}
	record, counted, err := r.first, false, error(nil)
	switch {
	case !mayRetry(r.first):
	case r.DryRun:
		record, err = d.dryRunRepeat(ctx, r.first, r.Delivery)
	default:
		if err := d.Accepting(r.first.Namespace); err != nil { // it may become pending
			return nil, err
		}
		record, counted, err = d.retryFirst(ctx, r.first, r.Delivery)
	}
	if record == nil {
		return nil, err
	}
	if !r.DryRun && !counted {
		d.repeats.add(ctx, record, r.Delivery)
	}
	return repeatAnswer(record), err
}

func repeatAnswer(record *postern.WebhookDelivery) *postern.WebhookDelivery {
	answer := record.DeepCopy()
	answer.Status.Reason = ReasonAlreadyDelivered
	created := record.CreationTimestamp.UTC().Format("2006-01-02 15:04:05 MST")
	answer.Status.Message = "this is a repeat of a delivery of " + created
	return answer
}

// mayRetry reports whether a repeat may change the outcome of the first delivery.
func mayRetry(first *postern.WebhookDelivery) bool {
	phase := first.Status.Phase
	return len(first.Spec.Events) > 0 && (phase == postern.DeliveryFailed || phase == postern.DeliveryIgnored)
}

// retryOf returns a copy of a record for a retry of what was not applied. Its sender is the one with fewer permissions,
// so that a repeat does nothing that only the other sender may do.
func retryOf(first, repeated *postern.WebhookDelivery) *postern.WebhookDelivery {
	again := first.DeepCopy()
	if !isIdentity(repeated.Status.Sender) {
		again.Status.Sender = repeated.Status.Sender
	}
	again.Status.Reason, again.Status.Message = "", "" // not Attempted
	again.Status.Targets = slices.DeleteFunc(again.Status.Targets, func(r postern.TargetResult) bool {
		return r.Result == postern.TargetFailed || r.Result == postern.TargetSkipped
	})
	return again
}

// retryFirst retries what was not applied. If that changes the outcome, it stores the new outcome in the record and
// counts the repeat there. It returns the record, and an error if the delivery still fails.
func (d *Deliverer) retryFirst(
	ctx context.Context, first, repeated *postern.WebhookDelivery,
) (record *postern.WebhookDelivery, counted bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	again := retryOf(first, repeated)
	d.retry(ctx, again)
	if sameOutcome(first, again) {
		return first, false, failureOf(first)
	}
	// A target that hangs may have used up the time.
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), statusTimeout)
	defer cancel()
	record, counted, err = d.storeRetried(ctx, first, again, repeated)
	if err != nil { // without a record, which may have been deleted, nothing retries the delivery
		return nil, false, answerUnavailable("the record of the delivery could not be stored", err)
	}
	return record, counted, failureOf(record)
}

// storeRetried stores the outcome of a retry in the record of the first delivery, unless the outcome there has changed
// concurrently, for example by a repeat at another replica.
func (d *Deliverer) storeRetried(
	ctx context.Context, first, again, repeated *postern.WebhookDelivery,
) (record *postern.WebhookDelivery, counted bool, err error) {
	record = first.DeepCopy()
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		if record == nil {
			if record, err = d.Records.Get(ctx, first.Namespace, first.Name); err != nil {
				return err
			}
			if record.UID != first.UID || !sameOutcome(first, record) {
				return nil
			}
		}
		to, from := &record.Status, &again.Status
		to.Phase, to.Reason, to.Message = from.Phase, from.Reason, from.Message
		to.Targets, to.Progress, to.Conditions = from.Targets, from.Progress, from.Conditions
		addRepeats(to, repeatsOf(repeated))
		stored, err := d.storeStatus(ctx, record)
		if err != nil {
			record = nil
			return err
		}
		record, counted = stored, true
		return nil
	})
	if err == nil && counted {
		d.recordEvents(record, newResults(first.Status.Targets, record.Status.Targets))
	}
	return record, counted, err
}

// sameOutcome reports whether two states of a record differ only in times and texts, which do not justify an update for
// each failing repeat.
func sameOutcome(a, b *postern.WebhookDelivery) bool {
	if a.Status.Phase != b.Status.Phase || a.Status.Reason != b.Status.Reason {
		return false
	}
	return slices.EqualFunc(a.Status.Targets, b.Status.Targets, func(a, b postern.TargetResult) bool {
		return a.Kind == b.Kind && a.Name == b.Name && a.Ref == b.Ref && a.Result == b.Result && a.Reason == b.Reason
	})
}

// failureOf returns the answer to a failed delivery, or nil if it has not failed.
func failureOf(record *postern.WebhookDelivery) error {
	if record.Status.Phase != postern.DeliveryFailed {
		return nil
	}
	code, reason := int32(http.StatusInternalServerError), metav1.StatusReasonInternalError
	if record.Status.Reason == ReasonTargetGone {
		code, reason = http.StatusNotFound, metav1.StatusReasonNotFound
	}
	return apierror.New(code, reason, "the target can't be written: "+record.Status.Message)
}

// dryRunRepeat is retryFirst for a dry run.
func (d *Deliverer) dryRunRepeat(
	ctx context.Context, first, repeated *postern.WebhookDelivery,
) (*postern.WebhookDelivery, error) {
	again := retryOf(first, repeated)
	tasks, err := d.findTasks(ctx, again)
	if err != nil {
		return nil, answerFor(err)
	}
	if len(tasks) == 0 {
		return first, nil
	}
	written := d.write(ctx, tasks, true)
	if err := worstError(written); err != nil {
		return nil, err
	}
	setOutcome(again, resultsOf(written), d.Now())
	again.Status.Sender = first.Status.Sender
	return again, nil
}
