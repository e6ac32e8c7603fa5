// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/validation"
	"postern.dev/postern/pkg/target"
	"postern.dev/postern/pkg/text"
)

// Reasons in a delivery's status, in addition to those of the payload and target packages.
const (
	// ReasonNothingRequested means that the delivery requests nothing.
	ReasonNothingRequested = "NothingRequested"
	// ReasonTargetUnavailable means that the target can't be written for now.
	ReasonTargetUnavailable = "TargetUnavailable"
	// ReasonNotReached means that no time was left for the target.
	ReasonNotReached = "NotReached"
	// ReasonPaced means that the turn of an Application has not come, since the rate of refreshes is limited.
	ReasonPaced = "Paced"
	// ReasonTargetRefused means that the target can't be written until it, or a policy, is changed.
	ReasonTargetRefused = "TargetRefused"
	// ReasonNoTarget means that the delivery names no target and that nothing wants it.
	ReasonNoTarget = "NoTarget"
	// ReasonOwnSecret means that the target accepts only its own secret.
	ReasonOwnSecret = "OwnSecret"
	// ReasonTargetGone means that the target was deleted after it was found.
	ReasonTargetGone = "TargetGone"
	// ReasonDeleted means that the record was deleted while the delivery was pending, and is kept by a finalizer.
	ReasonDeleted = "Deleted"
	// ReasonInvalidConfiguration means that the configuration on the target is invalid.
	ReasonInvalidConfiguration = "InvalidConfiguration"
	// ReasonTakenBack means that another client soon changed what was written.
	ReasonTakenBack = "TakenBack"
	// ReasonAlreadyDelivered is in the answer to a repeat, and not in its record.
	ReasonAlreadyDelivered = "AlreadyDelivered"
	// ReasonSomeTargetsFailed means that the delivery reached some targets and failed at others.
	ReasonSomeTargetsFailed = "SomeTargetsFailed"
)

// resultOf returns a result of a task, without its outcome.
func resultOf(t task, now time.Time) postern.TargetResult {
	return postern.TargetResult{
		Kind: t.key.Kind, Name: t.key.Name, Ref: t.event.Ref, Repository: t.repository, Time: metav1.NewTime(now),
	}
}

func writtenResult(t task, outcome target.Result, now time.Time) postern.TargetResult {
	result := resultOf(t, now)
	result.UID = outcome.UID
	result.PreviousRef = truncateText(outcome.Previous)
	result.Reason, result.Message = outcome.Reason, truncateText(outcome.Message)
	result.Changes = fieldChanges(outcome.Changes)
	switch {
	case outcome.OnHold:
		result.Result = postern.TargetHeld
	case outcome.Reason == target.ReasonSuperseded:
		result.Result = postern.TargetSuperseded
	case !outcome.Held:
		result.Result = postern.TargetSkipped
	case len(outcome.Changes) == 0:
		result.Result = postern.TargetUnchanged
	default:
		result.Result = postern.TargetWritten
	}
	return result
}

// maxChanges and maxChangeBytes bound the changes of a result, and each of their values: owners of targets can make the
// old ones of any length. A reference of an image is shorter.
const (
	maxChanges     = 16
	maxChangeBytes = 512
)

// fieldChanges returns the changes that a result keeps.
func fieldChanges(changes []target.Change) (kept []postern.FieldChange) {
	for _, c := range changes[:min(len(changes), maxChanges)] {
		kept = append(kept, postern.FieldChange{
			Field: text.Truncate(c.Field, maxChangeBytes),
			Old:   text.Truncate(c.Old, maxChangeBytes), New: text.Truncate(c.New, maxChangeBytes),
		})
	}
	return kept
}

func skippedResult(t task, why refusal, now time.Time) postern.TargetResult {
	result := resultOf(t, now)
	result.Result, result.Reason, result.Message = postern.TargetSkipped, why.reason, truncateText(why.message)
	return result
}

func failedResult(t task, err error, now time.Time) postern.TargetResult {
	result := resultOf(t, now)
	result.Result, result.Reason, result.Message = postern.TargetFailed, ReasonTargetRefused, truncateText(err.Error())
	switch {
	case target.IsTransient(err):
		result.Result, result.Reason = postern.TargetPending, ReasonTargetUnavailable
	case apierrors.IsNotFound(err):
		result.Reason = ReasonTargetGone
	}
	return result
}

// errNotReached is the error of a target that was not tried for lack of time.
var errNotReached = errors.New("there was no time left for the target, which is retried later")

func notReachedResult(t task, now time.Time) postern.TargetResult {
	result := resultOf(t, now)
	result.Result, result.Reason, result.Message = postern.TargetPending, ReasonNotReached, errNotReached.Error()
	return result
}

// setOutcome sets the status from at least one result: pending if any is pending, held if any is held, failed if any
// failed, applied if a target holds the ref, superseded if a target holds something newer, and otherwise ignored.
func setOutcome(d *postern.WebhookDelivery, results []postern.TargetResult, now time.Time) {
	count := countUnlisted(d.Status.Progress)
	for _, r := range results {
		count[r.Result]++
	}
	phase, applied := postern.DeliveryIgnored, metav1.ConditionFalse
	switch {
	case count[postern.TargetPending] > 0:
		phase = postern.DeliveryPending
	case count[postern.TargetHeld] > 0:
		phase = postern.DeliveryHeld
	case count[postern.TargetFailed] > 0:
		phase = postern.DeliveryFailed
	case count[postern.TargetWritten]+count[postern.TargetUnchanged] > 0:
		phase, applied = postern.DeliveryApplied, metav1.ConditionTrue
	case count[postern.TargetSuperseded] > 0:
		phase = postern.DeliverySuperseded
	}
	reason, message := results[0].Reason, results[0].Message
	if len(results) > 1 || d.Status.Progress != nil {
		reason = commonReason(results, phase)
		message = fmt.Sprintf("%d written, %d unchanged, %d skipped, %d superseded, %d pending, %d failed",
			count[postern.TargetWritten], count[postern.TargetUnchanged], count[postern.TargetSkipped],
			count[postern.TargetSuperseded], count[postern.TargetPending], count[postern.TargetFailed])
		if held := count[postern.TargetHeld]; held > 0 {
			message += fmt.Sprintf(", %d held", held)
		}
		if i := slices.IndexFunc(results, isOnHold); i >= 0 && phase == postern.DeliveryHeld {
			message += fmt.Sprintf("; %s %s: %s", results[i].Kind, results[i].Name, results[i].Message)
		}
		if reason == ReasonPaced {
			message += "; " + results[slices.IndexFunc(results, isPaced)].Message
		}
	}
	listed, rest := selectResults(results)
	d.Status.Progress = progressAfter(d.Status.Progress, phase, listed, rest)
	d.Status.Phase, d.Status.Reason, d.Status.Message, d.Status.Targets = phase, reason, message, listed
	setCondition(d, postern.ConditionApplied, applied, reason, message, now)
	setHeldCondition(d, count[postern.TargetHeld] > 0, now)
}

// setPending sets the status of a delivery whose targets can't be found for now.
func (d *Deliverer) setPending(delivery *postern.WebhookDelivery, cause error) {
	status := &delivery.Status
	status.Phase, status.Reason = postern.DeliveryPending, ReasonTargetUnavailable
	status.Message = truncateText(cause.Error())
	setCondition(delivery, postern.ConditionApplied, metav1.ConditionFalse, status.Reason, status.Message, d.Now())
}

// setIgnored sets the status of a delivery for which nothing is done. It keeps a reason that is already set.
func (d *Deliverer) setIgnored(delivery *postern.WebhookDelivery, reason, message string) {
	status := &delivery.Status
	status.Phase = postern.DeliveryIgnored
	if status.Reason == "" {
		status.Reason, status.Message = reason, message
	}
	setCondition(delivery, postern.ConditionApplied, metav1.ConditionFalse, status.Reason, status.Message, d.Now())
	setHeldCondition(delivery, false, d.Now())
}

// commonReason returns the reason that all results share, or one for the phase.
func commonReason(results []postern.TargetResult, phase postern.DeliveryPhase) string {
	if !slices.ContainsFunc(results, func(r postern.TargetResult) bool { return r.Reason != results[0].Reason }) {
		return results[0].Reason
	}
	switch phase {
	case postern.DeliveryApplied:
		return target.ReasonRequested
	case postern.DeliveryFailed:
		if onlyPaced(results, postern.TargetFailed) {
			return ReasonPaced
		}
		return ReasonSomeTargetsFailed
	case postern.DeliveryPending:
		if onlyPaced(results, postern.TargetPending) {
			return ReasonPaced
		}
		return ReasonTargetUnavailable
	case postern.DeliveryHeld:
		return results[slices.IndexFunc(results, isOnHold)].Reason
	case postern.DeliverySuperseded:
		return target.ReasonSuperseded
	case postern.DeliveryIgnored:
	}
	return ReasonNoTarget
}

// maxResults and maxResultBytes, of JSON, bound the results that a record keeps. The rest of a final status is for
// messages and conditions.
const (
	maxResults     = 1000
	maxResultBytes = validation.MaxFinalBytes - validation.MaxRecordBytes - 64<<10
)

// selectResults returns the results that a record lists, and the rest. If there are too many, pending, held, failed and
// written ones come first.
func selectResults(results []postern.TargetResult) (listed, rest []postern.TargetResult) {
	if countFitting(results) == len(results) {
		return results, nil
	}
	order := []postern.TargetResultType{postern.TargetPending, postern.TargetHeld, postern.TargetFailed,
		postern.TargetWritten, postern.TargetUnchanged, postern.TargetSuperseded, postern.TargetSkipped}
	ranked := slices.Clone(results)
	slices.SortStableFunc(ranked, func(a, b postern.TargetResult) int {
		return slices.Index(order, a.Result) - slices.Index(order, b.Result)
	})
	n := countFitting(ranked)
	return ranked[:n:n], ranked[n:]
}

// countFitting returns how many of the results, starting with the first, fit in a record.
func countFitting(results []postern.TargetResult) int {
	size := 0
	for i := range min(len(results), maxResults) {
		encoded, err := json.Marshal(results[i])
		if size += len(encoded); err != nil || size > maxResultBytes {
			return i
		}
	}
	return min(len(results), maxResults)
}

// maxTextBytes bounds what a record quotes from a target's annotations and from errors of the API server. Owners of
// targets can make both of any length.
const maxTextBytes = 1024

func truncateText(s string) string { return text.Truncate(s, maxTextBytes) }

// setCondition sets a condition. It truncates the time to seconds, as JSON does: a mutating policy works on JSON, and
// the status must be the same afterwards.
func setCondition(
	d *postern.WebhookDelivery, kind string, status metav1.ConditionStatus, reason, message string, now time.Time,
) {
	meta.SetStatusCondition(&d.Status.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message,
		LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)),
	})
}

// noMatchMessage returns the message of a delivery that nothing wants. It names what was pushed in the form in which a
// target has to name it, to reveal a mismatch.
func noMatchMessage(by string, events []postern.DeliveryEvent) string {
	if len(events) == 0 {
		return by + " wants what was pushed"
	}
	message := by + " wants " + truncateText(describeEvent(&events[0]))
	if passed := events[0].Passed; passed != "" {
		message += fmt.Sprintf(", which passed %s: a target does if its annotation %s lists that", text.Quote(passed),
			target.AnnotationDeployOn)
	}
	switch others := len(events) - 1; others {
	case 0:
		return message
	case 1:
		return message + ", or the other ref"
	default:
		return message + fmt.Sprintf(", or the %d other refs", others)
	}
}

// describeEvent names an image with its registry, and a git ref with its repository if that is known.
func describeEvent(event *postern.DeliveryEvent) string {
	switch {
	case event.Image != nil:
		return event.Image.Name() + ":" + event.Ref
	case event.Repository != "":
		return event.Ref + " of " + event.Repository
	}
	return event.Ref
}
