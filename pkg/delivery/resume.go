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
	"k8s.io/klog/v2"

	"postern.dev/postern/apis/postern"
)

const (
	// GracePeriod is how long after it was recorded a pending delivery may still be under way with whoever answers it, and then
	// stores what it came to. Whoever took it up earlier might decide otherwise.
	GracePeriod = answerTimeout + statusTimeout + 2*time.Second
	// resumeTimeout bounds one more try, to the end of which a target that hangs may go.
	resumeTimeout = 30 * time.Second
)

// ErrStillPending is that of a delivery that has to be tried again later.
var ErrStillPending = errors.New("the delivery is still pending")

// Attempted reports whether whoever answered a pending delivery is done with it. Until then it may be under way.
func Attempted(delivery *postern.WebhookDelivery) bool { return delivery.Status.Reason != "" }

// Resume tries a pending delivery once more, where it has not come through yet. With giveUp it ends there, as Failed if
// need be. It changes the delivery that it is given. The error is ErrStillPending, or that of the storage.
func (d *Deliverer) Resume(ctx context.Context, delivery *postern.WebhookDelivery, giveUp bool) error {
	ctx, span := d.tracer.Start(ctx, spanResume, trace.WithAttributes(attribute.String(attributeAuditID, delivery.Status.AuditID)))
	defer span.End()
	defer func() { setSpanAttributes(span, delivery, string(delivery.Status.Phase), delivery.Status.Reason) }()
	before := delivery.DeepCopy()
	if status := d.unstored.of(delivery); status != nil && mayEndAs(delivery, status) {
		endAs(delivery, status)
	}
	told := delivery.DeepCopy()
	if told.Status.Phase == postern.DeliveryPending {
		d.goOn(ctx, delivery, giveUp)
	}
	if !equality.Semantic.DeepEqual(before.Status, delivery.Status) {
		ctx, cancel := context.WithTimeout(ctx, statusTimeout)
		defer cancel()
		if _, err := d.storeStatus(ctx, delivery); err != nil {
			return err
		}
		d.recordEvents(delivery, newResults(told.Status.Targets, delivery.Status.Targets))
	}
	d.unstored.forget(delivery)
	switch {
	case delivery.Status.Phase == postern.DeliveryPending:
		return ErrStillPending
	case told.Status.Phase != postern.DeliveryPending:
		klog.FromContext(ctx).Info("Stored the final status of a delivery late", "delivery", klog.KObj(delivery),
			"outcome", told.Status.Phase)
		return nil
	}
	countResumed(delivery.Status.Phase)
	klog.FromContext(ctx).Info("Carried out a pending delivery", "delivery", klog.KObj(delivery), "outcome", delivery.Status.Phase,
		"reason", delivery.Status.Reason, "refs", refsOf(delivery))
	return nil
}

// goOn carries a pending delivery on. What came of its first try is not known if that was cut short.
func (d *Deliverer) goOn(ctx context.Context, delivery *postern.WebhookDelivery, giveUp bool) {
	unknown := isFirstUnknown(delivery)
	tried := d.retry(ctx, delivery)
	if giveUp && tried && delivery.Status.Phase == postern.DeliveryPending {
		d.setFailed(delivery, nil)
	}
	if unknown {
		sayThatFirstIsUnknown(delivery)
	}
}

// retry reports whether its turn came, and so it was tried.
func (d *Deliverer) retry(ctx context.Context, delivery *postern.WebhookDelivery) (tried bool) {
	ctx, cancel := context.WithTimeout(ctx, resumeTimeout)
	defer cancel()
	tasks, err := d.resolve(ctx, delivery)
	switch {
	case mayFindLater(err):
		if !Attempted(delivery) {
			d.setPending(delivery, err)
		}
		return !errors.As(err, &noTurnError{})
	case apierrors.IsNotFound(err):
		d.setFailed(delivery, &refusal{ReasonTargetGone, "there is no such target: it was deleted, or never was"})
		return true
	case err != nil:
		d.setFailed(delivery, &refusal{ReasonTargetRefused, truncateText(err.Error())})
		return true
	}
	results := d.retryWrites(ctx, notFinished(tasks, delivery.Status.Progress), delivery.Status.Targets)
	if len(results) == 0 {
		delivery.Status.Reason, delivery.Status.Targets = "", nil
		d.setIgnored(delivery, ReasonNoTarget, noMatchMessage("nothing in this namespace", delivery.Spec.Events))
		return true
	}
	setOutcome(delivery, results, d.Now())
	return true
}

// retryWrites carries out the tasks that have not come to an end, and returns the results of all, in their order. What is
// pending as before is left as it was, or each try would store the record anew.
func (d *Deliverer) retryWrites(ctx context.Context, tasks []task, before []postern.TargetResult) []postern.TargetResult {
	results, left := matchResults(tasks, before)
	tried := triedTargets(results)
	var places []int // of what is tried again
	var again []task
	for i, t := range tasks {
		if r := results[i]; r.Result == "" || isPending(r) {
			t.retry = true
			if tried.Has(progressName(string(t.key.Kind), t.key.Name)) {
				t.priority = priorityOf(tried)
			}
			places, again = append(places, i), append(again, t)
		}
	}
	for i, r := range resultsOf(d.write(ctx, again, false)) {
		if result := &results[places[i]]; !isPending(*result) || !isPending(r) || result.Reason == ReasonNotReached {
			*result = r
		}
	}
	// What has no task any more is not wanted any more, but was done.
	return slices.Concat(results, slices.DeleteFunc(left, isPending))
}

func isPending(r postern.TargetResult) bool { return r.Result == postern.TargetPending }

// matchResults returns the result that each task has, if any, and the results that are of no task.
func matchResults(tasks []task, before []postern.TargetResult) (results, left []postern.TargetResult) {
	type of struct{ kind, name, ref string }
	places := map[of][]int{}
	for i, t := range tasks {
		id := of{string(t.key.Kind), t.key.Name, t.event.Ref}
		places[id] = append(places[id], i)
	}
	results = make([]postern.TargetResult, len(tasks))
	for _, r := range before {
		id := of{string(r.Kind), r.Name, r.Ref}
		if len(places[id]) == 0 {
			left = append(left, r)
			continue
		}
		// Results that look alike, as of two images with one tag, are in the order of their tasks.
		results[places[id][0]], places[id] = r, places[id][1:]
	}
	return results, left
}

// setFailed ends a delivery. What is pending has failed, for a cause or, if that is nil, for what it was pending for.
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
			if cause != nil {
				r.Reason, r.Message, r.Time = cause.reason, cause.message, metav1.NewTime(d.Now())
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

// resultsSoFar returns the results of a delivery. At a target that was named and could not be found they are pending.
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

// newResults returns the results that are new.
func newResults(before, after []postern.TargetResult) []postern.TargetResult {
	known := map[postern.TargetResult]bool{}
	for _, r := range before {
		known[comparableResult(r)] = true
	}
	return slices.DeleteFunc(slices.Clone(after), func(r postern.TargetResult) bool { return known[comparableResult(r)] })
}

// comparableResult returns a result whose time compares as a value.
func comparableResult(r postern.TargetResult) postern.TargetResult {
	r.Time = metav1.NewTime(time.Unix(0, r.Time.UnixNano()).UTC())
	return r
}
