// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"net/http"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/credential"
)

// repeatError is that of a record that could not be made, since there is one of the delivery that it repeats.
type repeatError struct{ first *postern.WebhookDelivery }

func (e *repeatError) Error() string {
	return "the delivery repeats " + e.first.Name
}

// firstRecord returns the record that an error says is repeated, nil if it says something else.
func firstRecord(err error) *postern.WebhookDelivery {
	var repeat *repeatError
	if errors.As(err, &repeat) {
		return repeat.first
	}
	return nil
}

// repeat answers a delivery that came before with the record of the first. A delivery that is under way, or has come
// through, is left alone. What failed, or was not wanted, is tried again as a retry of the first, with its receipt: so
// everything that was received since counts instead.
func (d *Deliverer) repeat(ctx context.Context, first, repeated *postern.WebhookDelivery, dryRun bool) (*postern.WebhookDelivery, error) {
	record, counted, err := first, false, error(nil)
	switch {
	case !mayRetry(first):
	case dryRun:
		record, err = d.dryRunRepeat(ctx, first, repeated)
	default:
		if err := d.Accepting(first.Namespace); err != nil { // it may become pending
			return nil, err
		}
		record, counted, err = d.retryFirst(ctx, first, repeated)
	}
	if record == nil {
		return nil, err
	}
	if !dryRun && !counted {
		d.repeats.add(ctx, record, repeated)
	}
	return repeatAnswer(record), err
}

// repeatInFlight answers a repeat of a delivery that has just been carried out in this process.
func (d *Deliverer) repeatInFlight(ctx context.Context, t *call, repeated *postern.WebhookDelivery) (*postern.WebhookDelivery, error) {
	d.repeats.add(ctx, t.record, repeated)
	return repeatAnswer(t.record), t.err
}

func repeatAnswer(record *postern.WebhookDelivery) *postern.WebhookDelivery {
	answer := record.DeepCopy()
	answer.Status.Reason = ReasonAlreadyDelivered
	answer.Status.Message = "this is a repeat of a delivery of " + record.CreationTimestamp.UTC().Format("2006-01-02 15:04:05 MST")
	return answer
}

// mayRetry reports whether a repeat may change what a delivery came to.
func mayRetry(first *postern.WebhookDelivery) bool {
	phase := first.Status.Phase
	return len(first.Spec.Events) > 0 && (phase == postern.DeliveryFailed || phase == postern.DeliveryIgnored)
}

// retryOf is a copy of a record for another try of what did not come through. It is the sender's who may do less: the
// repeat must not do for one what only another may do.
func retryOf(first, repeated *postern.WebhookDelivery) *postern.WebhookDelivery {
	again := first.DeepCopy()
	if !isIdentity(repeated.Status.Sender) {
		again.Status.Sender = repeated.Status.Sender
	}
	again.Status.Reason, again.Status.Message = "", "" // what Attempted tells from one that is over
	again.Status.Targets = slices.DeleteFunc(again.Status.Targets, func(r postern.TargetResult) bool {
		return r.Result == postern.TargetFailed || r.Result == postern.TargetSkipped
	})
	return again
}

// isIdentity reports whether a sender was authenticated by the cluster.
func isIdentity(sender *postern.Sender) bool {
	if sender == nil {
		return false
	}
	method := credential.Method(sender.Method)
	return method == credential.MethodServiceAccount || method == credential.MethodUser
}

// retryFirst tries again what did not come through, and returns the record, which says so if that changed anything; then it
// counts the repeat too. The error is that of what still fails.
func (d *Deliverer) retryFirst(ctx context.Context, first, repeated *postern.WebhookDelivery) (record *postern.WebhookDelivery, counted bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	again := retryOf(first, repeated)
	d.retry(ctx, again)
	if sameOutcome(first, again) {
		return first, false, failureOf(first)
	}
	// The write to a target that hangs may have taken all of the time that there was.
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), statusTimeout)
	defer cancel()
	record, counted, err = d.storeRetried(ctx, first, again, repeated)
	if err != nil { // deleted meanwhile, perhaps: there is no record, and so no promise
		return nil, false, answerUnavailable("the record of the delivery could not be stored", err)
	}
	return record, counted, failureOf(record)
}

// storeRetried makes the record of the first delivery tell the outcome of another try. It leaves a record alone that was
// changed otherwise meanwhile, as by a repeat that another replica got.
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

// sameOutcome reports whether two states of a record tell the same, but for times and texts. Else each repeat of what
// fails would store the record anew.
func sameOutcome(a, b *postern.WebhookDelivery) bool {
	if a.Status.Phase != b.Status.Phase || a.Status.Reason != b.Status.Reason {
		return false
	}
	return slices.EqualFunc(a.Status.Targets, b.Status.Targets, func(a, b postern.TargetResult) bool {
		return a.Kind == b.Kind && a.Name == b.Name && a.Ref == b.Ref && a.Result == b.Result && a.Reason == b.Reason
	})
}

// failureOf returns the answer to a delivery that has failed, nil if it has not.
func failureOf(record *postern.WebhookDelivery) error {
	if record.Status.Phase != postern.DeliveryFailed {
		return nil
	}
	code, reason := int32(http.StatusInternalServerError), metav1.StatusReasonInternalError
	if record.Status.Reason == ReasonTargetGone {
		code, reason = http.StatusNotFound, metav1.StatusReasonNotFound
	}
	return statusError(code, reason, "the target can't be written: "+record.Status.Message)
}

// dryRunRepeat is redo for a dry run.
func (d *Deliverer) dryRunRepeat(ctx context.Context, first, repeated *postern.WebhookDelivery) (*postern.WebhookDelivery, error) {
	again := retryOf(first, repeated)
	tasks, err := d.resolve(ctx, again)
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

// rename gives a delivery whose name was taken meanwhile another one. If what took it is the delivery that it repeats, it
// returns that as a repeatError.
func (d *Deliverer) rename(ctx context.Context, delivery *postern.WebhookDelivery) error {
	first, err := d.findFirst(ctx, delivery)
	switch {
	case err != nil:
		return err
	case first != nil:
		return &repeatError{first}
	}
	return nil
}

// createRecord stores a record, under another name if its name is taken by something else.
func (d *Deliverer) createRecord(ctx context.Context, delivery *postern.WebhookDelivery, dryRun bool) (*postern.WebhookDelivery, error) {
	for {
		recorded, err := d.Records.Create(ctx, delivery, dryRun)
		if delivery.Status.Identity == "" || !apierrors.IsAlreadyExists(err) {
			return recorded, answerForRecord(err)
		}
		if err := d.rename(ctx, delivery); err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, answerForRecord(err)
		}
	}
}
