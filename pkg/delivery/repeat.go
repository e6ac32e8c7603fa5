// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/apierror"
	"postern.dev/postern/pkg/target"
)

// repeat answers a repeated delivery with the record of the first. It retries a failed or ignored delivery, with the
// first receipt, so that all requests received since take precedence. The targets that hold what an applied delivery
// requested are asked again to act on it. It leaves others unchanged, and one that this process has just executed.
func (d *Deliverer) repeat(ctx context.Context, r *Request) (*postern.WebhookDelivery, error) {
	if c := r.inFlight; c != nil {
		d.repeats.add(ctx, c.record, r.Delivery)
		return repeatAnswer(c.record, ""), c.err
	}
	record, counted, note, err := r.first, false, "", error(nil)
	switch {
	case r.first.Status.Phase == postern.DeliveryApplied && !r.DryRun:
		note = d.requestAgain(ctx, r.first, r.Delivery)
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
	return repeatAnswer(record, note), err
}

// requestAgain asks the targets that still hold what a delivery requested to act on it again: git may have served a
// commit only after the webhook for it. It changes nothing else. It returns what to add to the answer.
func (d *Deliverer) requestAgain(ctx context.Context, first, repeated *postern.WebhookDelivery) (note string) {
	if d.Accepting(first.Namespace) != nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	sender := retryOf(first, repeated)
	isImage := func(t task) bool { return t.event.Image != nil } // pushing it again changes nothing
	tasks := slices.DeleteFunc(heldTasks(first), isImage)
	for i := range tasks {
		t := &tasks[i]
		t.again, t.anonymous = true, !isIdentity(sender.Status.Sender)
		if t.matched {
			t.refused = d.refusalFor(sender, target.Match{Key: t.key})
		}
	}
	asked, failed := 0, 0
	for _, written := range d.write(ctx, tasks, false) {
		switch {
		case isPending(written.result):
			failed++
		case written.result.Result == postern.TargetWritten:
			asked++
		}
	}
	if asked+failed == 0 {
		return ""
	}
	return fmt.Sprintf("; %d targets that hold the ref were asked again to act on it, %d could not be", asked, failed)
}

func repeatAnswer(record *postern.WebhookDelivery, note string) *postern.WebhookDelivery {
	answer := record.DeepCopy()
	answer.Status.Reason = ReasonAlreadyDelivered
	created := record.CreationTimestamp.UTC().Format("2006-01-02 15:04:05 MST")
	if phase := record.Status.Phase; phase == postern.DeliveryPending || phase == postern.DeliveryHeld {
		note += ": " + record.Status.Message // what the sender waits for
	}
	answer.Status.Message = "this is a repeat of a delivery of " + created + note
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
	watch, _ := d.retry(ctx, again)
	if sameOutcome(first, again) {
		return first, false, failureOf(first)
	}
	// A target that hangs may have used up the time.
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), statusTimeout)
	defer cancel()
	record, counted, err = d.storeRetried(ctx, first, again, repeated)
	if counted {
		watch.start(record)
	}
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
		sender := record.Status.Sender
		replaceStatus(record, &again.Status)
		record.Status.Sender = sender // of the first; the retry may have been on behalf of the other
		addRepeats(&record.Status, repeatsOf(repeated))
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
