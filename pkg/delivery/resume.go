// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"postern.dev/postern/apis/postern"
)

const (
	// GracePeriod is how long after its creation a pending record may still be in use by the replica that answers the
	// delivery and stores its final status. Until then another replica must not resume it: it might decide otherwise.
	GracePeriod = answerTimeout + statusTimeout + 2*time.Second
	// resumeTimeout bounds one retry. A target that hangs may use all of it.
	resumeTimeout = 30 * time.Second
)

// ErrStillPending means that a delivery has to be retried later.
var ErrStillPending = errors.New("the delivery is still pending")

// Attempted reports whether the first attempt at a pending delivery is over. Until then it may be in progress.
func Attempted(delivery *postern.WebhookDelivery) bool { return delivery.Status.Reason != "" }

// Resume retries a pending delivery where it is not finished. With giveUp, what is still pending then becomes Failed.
// It changes the given delivery. The error is ErrStillPending, which may be ErrPaced, or from the storage.
func (d *Deliverer) Resume(ctx context.Context, delivery *postern.WebhookDelivery, giveUp bool) error {
	if !giveUp && d.mustWait(delivery) {
		return ErrPaced
	}
	ctx, span := d.tracer.Start(ctx, spanResume,
		trace.WithAttributes(attribute.String(attributeAuditID, delivery.Status.AuditID)))
	defer span.End()
	defer func() { setSpanAttributes(span, delivery, string(delivery.Status.Phase), delivery.Status.Reason) }()
	before := delivery.DeepCopy()
	if status := d.unstored.of(delivery); status != nil && mayReplaceStatus(delivery, status) {
		replaceStatus(delivery, status)
	}
	answered := delivery.DeepCopy()
	var watch *targetWatch
	if answered.Status.Phase == postern.DeliveryPending {
		watch = d.resumePending(ctx, delivery, giveUp)
	}
	if !equality.Semantic.DeepEqual(before.Status, delivery.Status) {
		ctx, cancel := context.WithTimeout(ctx, statusTimeout)
		defer cancel()
		if _, err := d.storeStatus(ctx, delivery); err != nil {
			return err
		}
		watch.start(delivery)
		d.recordEvents(delivery, newResults(answered.Status.Targets, delivery.Status.Targets))
	}
	d.unstored.forget(delivery)
	switch {
	case Waits(delivery):
		return ErrPaced
	case delivery.Status.Phase == postern.DeliveryPending:
		return ErrStillPending
	case answered.Status.Phase != postern.DeliveryPending:
		klog.FromContext(ctx).Info("Stored the final status of a delivery late", "delivery", klog.KObj(delivery),
			"outcome", answered.Status.Phase)
		return nil
	}
	countResumed(delivery.Status.Phase)
	klog.FromContext(ctx).Info("Completed a pending delivery", "delivery", klog.KObj(delivery),
		"outcome", delivery.Status.Phase, "reason", delivery.Status.Reason, "refs", refsOf(delivery))
	return nil
}

// resumePending retries a pending delivery. The outcome of the first attempt is unknown if that was interrupted. The
// caller starts the watch, which is nil if nothing was tried, when the status is stored.
func (d *Deliverer) resumePending(
	ctx context.Context, delivery *postern.WebhookDelivery, giveUp bool,
) (watch *targetWatch) {
	unknown := cutFirstUnknown(delivery)
	if delivery.DeletionTimestamp != nil { // as if a finalizer did not keep it
		d.setFailed(delivery, &refusal{ReasonDeleted, "the delivery was deleted before its targets could be written"})
	} else {
		var tried bool
		// What was held at a target may be released by now.
		watch, tried = d.retryWithHeld(ctx, delivery, func(postern.TargetResult) bool { return true })
		if giveUp && tried && delivery.Status.Phase == postern.DeliveryPending {
			d.setFailed(delivery, nil)
		}
	}
	if unknown {
		addFirstUnknown(delivery)
	}
	return watch
}

// retry reports whether the delivery got a slot, and so was tried. It returns the watch of the targets it has written,
// or nil.
func (d *Deliverer) retry(ctx context.Context, delivery *postern.WebhookDelivery) (watch *targetWatch, tried bool) {
	ctx, cancel := context.WithTimeout(ctx, resumeTimeout)
	defer cancel()
	tasks, err := d.findTasks(ctx, delivery)
	switch {
	case isTransient(err):
		if !Attempted(delivery) {
			d.setPending(delivery, err)
		}
		return nil, !errors.As(err, &noSlotError{})
	case apierrors.IsNotFound(err):
		d.setFailed(delivery, &refusal{ReasonTargetGone, "the target does not exist: it was deleted or never created"})
		return nil, true
	case err != nil:
		d.setFailed(delivery, &refusal{ReasonTargetRefused, truncateText(err.Error())})
		return nil, true
	}
	watch = d.newTargetWatch()
	results := d.retryWrites(ctx, notFinished(tasks, delivery.Status.Progress), delivery.Status.Targets, watch)
	if len(results) == 0 {
		delivery.Status.Reason, delivery.Status.Targets = "", nil
		d.setIgnored(delivery, ReasonNoTarget, noMatchMessage("nothing in this namespace", delivery.Spec.Events))
		return nil, true
	}
	setOutcome(delivery, results, d.Now())
	return watch, true
}

// retryWrites executes the tasks that are not finished, and returns the results of all tasks in order. A result that is
// still pending keeps its old text and time, so that a retry without progress does not update the record, unless it was
// held before.
func (d *Deliverer) retryWrites(
	ctx context.Context, tasks []task, before []postern.TargetResult, watch *targetWatch,
) []postern.TargetResult {
	results, left := matchResults(tasks, before)
	tried := triedTargets(results)
	var places []int // of the retried tasks in results
	var again []task
	for i, t := range tasks {
		if r := results[i]; r.Result == "" || isPending(r) {
			t.retry, t.watch, t.released = true, watch, wasHeldByTarget(r)
			if tried.Has(progressName(string(t.key.Kind), t.key.Name)) {
				t.priority = priorityOf(tried)
			}
			places, again = append(places, i), append(again, t)
		}
	}
	for i, r := range resultsOf(d.write(ctx, again, false)) {
		result := &results[places[i]]
		if !isPending(*result) || !isPending(r) || wasHeld(*result) || isUntried(*result) && r.Reason != result.Reason {
			*result = r
		}
	}
	// A result without a task was final before its target stopped wanting the ref.
	return slices.Concat(results, slices.DeleteFunc(left, isPending))
}

func isPending(r postern.TargetResult) bool { return r.Result == postern.TargetPending }

// matchResults returns the result of each task, which is zero if there is none, and the results without a task.
func matchResults(tasks []task, before []postern.TargetResult) (results, left []postern.TargetResult) {
	type resultIdentity struct{ kind, name, ref, repository string }
	places := map[resultIdentity][]int{}
	for i, t := range tasks {
		key := resultIdentity{string(t.key.Kind), t.key.Name, t.event.Ref, t.repository}
		places[key] = append(places[key], i)
	}
	results = make([]postern.TargetResult, len(tasks))
	for _, r := range before {
		key := resultIdentity{string(r.Kind), r.Name, r.Ref, r.Repository}
		if len(places[key]) == 0 {
			left = append(left, r)
			continue
		}
		// Results with the same key, such as of two images with one tag, are in the order of their tasks.
		results[places[key][0]], places[key] = r, places[key][1:]
	}
	return results, left
}

// setFailed turns pending results into failed ones, for a cause or, if that is nil, for the reason they were pending.
func (d *Deliverer) setFailed(delivery *postern.WebhookDelivery, cause *refusal) {
	status := &delivery.Status
	if cause == nil && len(status.Targets) == 0 {
		cause = &refusal{status.Reason, status.Message}
	}
	if p := status.Progress; p != nil {
		p.Failed, p.Pending = p.Failed+p.Pending, 0
	}
	results := d.resultsSoFar(delivery)
	for i := range results {
		if r := &results[i]; isPending(*r) {
			r.Result = postern.TargetFailed
			switch {
			case cause != nil:
				r.Reason, r.Message, r.Time = cause.reason, cause.message, metav1.NewTime(d.Now())
			case isPaced(*r):
				r.Message, r.Time = noTurnMessage, metav1.NewTime(d.Now())
			}
		}
	}
	if len(results) > 0 {
		setOutcome(delivery, results, d.Now())
		return
	}
	status.Phase, status.Reason, status.Message = postern.DeliveryFailed, cause.reason, cause.message
	setCondition(delivery, postern.ConditionApplied, metav1.ConditionFalse, cause.reason, cause.message, d.Now())
}

// resultsSoFar returns the results of a delivery. For a named target that could not be found they are pending.
func (d *Deliverer) resultsSoFar(delivery *postern.WebhookDelivery) []postern.TargetResult {
	if len(delivery.Status.Targets) > 0 || delivery.Spec.Target == nil {
		return slices.Clone(delivery.Status.Targets)
	}
	var results []postern.TargetResult
	for _, t := range tasksForTarget(targetKey(delivery), delivery.Spec.Events) {
		result := resultOf(t, d.Now())
		result.Result = postern.TargetPending
		results = append(results, result)
	}
	return results
}

// newResults returns the results in after that are not in before.
func newResults(before, after []postern.TargetResult) []postern.TargetResult {
	known := map[resultIdentity]bool{}
	for _, r := range before {
		known[identityOf(r)] = true
	}
	return slices.DeleteFunc(slices.Clone(after), func(r postern.TargetResult) bool { return known[identityOf(r)] })
}

// resultIdentity is what distinguishes results. The changes follow from the rest.
type resultIdentity struct {
	key                                           postern.TargetKey
	uid                                           types.UID
	ref, repository, previousRef, reason, message string
	result                                        postern.TargetResultType
	time                                          int64
}

func identityOf(r postern.TargetResult) resultIdentity {
	return resultIdentity{
		key: postern.TargetKey{Kind: r.Kind, Name: r.Name}, uid: r.UID, ref: r.Ref, repository: r.Repository,
		previousRef: r.PreviousRef, reason: r.Reason, message: r.Message, result: r.Result, time: r.Time.UnixNano(),
	}
}
