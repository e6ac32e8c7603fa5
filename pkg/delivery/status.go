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
)

// Reasons in a delivery's status, beside those of the payload and target packages.
const (
	// ReasonNothingRequested is that of a delivery that asks for nothing.
	ReasonNothingRequested = "NothingRequested"
	// ReasonTargetUnavailable is that of a target that could not be written just now.
	ReasonTargetUnavailable = "TargetUnavailable"
	// ReasonNotReached is that of a target that there was no time left for yet.
	ReasonNotReached = "NotReached"
	// ReasonTargetRefused is that of a target that can't be written until somebody changes something.
	ReasonTargetRefused = "TargetRefused"
	// ReasonNoTarget is that of a delivery that names no target and that nothing wants.
	ReasonNoTarget = "NoTarget"
	// ReasonOwnSecret is that of a target that takes no secret but its own.
	ReasonOwnSecret = "OwnSecret"
	// ReasonTargetGone is that of a target that was deleted after it was found.
	ReasonTargetGone = "TargetGone"
	// ReasonInvalidConfiguration is that of a target whose owner's wish can't be read.
	ReasonInvalidConfiguration = "InvalidConfiguration"
	// ReasonAlreadyDelivered is that of the answer to a repeat; the record keeps its own.
	ReasonAlreadyDelivered = "AlreadyDelivered"
	// ReasonSomeTargetsFailed is that of a delivery that reached some targets and failed at others.
	ReasonSomeTargetsFailed = "SomeTargetsFailed"
)

// resultOf starts the result of a task.
func resultOf(t task, now time.Time) postern.TargetResult {
	return postern.TargetResult{Kind: postern.TargetKind(t.key.Kind), Name: t.key.Name, Ref: t.event.Ref, Time: metav1.NewTime(now)}
}

func writtenResult(t task, outcome target.Outcome, now time.Time) postern.TargetResult {
	result := resultOf(t, now)
	result.UID = outcome.UID
	result.PreviousRef, result.Reason, result.Message = truncateText(outcome.Previous), outcome.Reason, truncateText(outcome.Message)
	switch {
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

// errNotReached is that of a target that was not tried in the time that there was.
var errNotReached = errors.New("there was no time left for the target, which is tried later")

func notReachedResult(t task, now time.Time) postern.TargetResult {
	result := resultOf(t, now)
	result.Result, result.Reason, result.Message = postern.TargetPending, ReasonNotReached, errNotReached.Error()
	return result
}

// setOutcome sets the status to what came of the delivery at its targets, of which there is at least one result: pending
// while any is, failed if it failed anywhere, applied if a target holds what is requested, superseded if one holds
// something newer, and otherwise ignored.
func setOutcome(d *postern.WebhookDelivery, results []postern.TargetResult, now time.Time) {
	count := countUnlisted(d.Status.Progress)
	for _, r := range results {
		count[r.Result]++
	}
	phase, applied := postern.DeliveryIgnored, metav1.ConditionFalse
	switch {
	case count[postern.TargetPending] > 0:
		phase = postern.DeliveryPending
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
	}
	listed, rest := selectResults(results)
	d.Status.Progress = progressAfter(d.Status.Progress, phase, listed, rest)
	d.Status.Phase, d.Status.Reason, d.Status.Message, d.Status.Targets = phase, reason, message, listed
	setCondition(d, postern.ConditionApplied, applied, reason, message, now)
}

// commonReason is the reason that all results have, or else one that sums them up.
func commonReason(results []postern.TargetResult, phase postern.DeliveryPhase) string {
	if !slices.ContainsFunc(results, func(r postern.TargetResult) bool { return r.Reason != results[0].Reason }) {
		return results[0].Reason
	}
	switch phase {
	case postern.DeliveryApplied:
		return target.ReasonRequested
	case postern.DeliveryFailed:
		return ReasonSomeTargetsFailed
	case postern.DeliveryPending:
		return ReasonTargetUnavailable
	case postern.DeliverySuperseded:
		return target.ReasonSuperseded
	}
	return ReasonNoTarget
}

// maxResults and maxResultBytes, of JSON, bound the results that a record keeps. The rest of the room that a final status
// has is for messages and conditions.
const (
	maxResults     = 1000
	maxResultBytes = validation.MaxFinalBytes - validation.MaxRecordBytes - 64<<10
)

// selectResults returns the results that a record lists, if there are too many those of failed and written targets before
// others, and the rest.
func selectResults(results []postern.TargetResult) (listed, rest []postern.TargetResult) {
	if countFitting(results) == len(results) {
		return results, nil
	}
	order := []postern.TargetResultType{postern.TargetPending, postern.TargetFailed, postern.TargetWritten,
		postern.TargetUnchanged, postern.TargetSuperseded, postern.TargetSkipped}
	ranked := slices.Clone(results)
	slices.SortStableFunc(ranked, func(a, b postern.TargetResult) int {
		return slices.Index(order, a.Result) - slices.Index(order, b.Result)
	})
	n := countFitting(ranked)
	return ranked[:n:n], ranked[n:]
}

// countFitting returns how many of some results, from the first on, a record can keep.
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

// maxTextBytes bounds what a record repeats of a target's annotations and of the API server's errors, of which owners of
// targets may make any length.
const maxTextBytes = 1024

func truncateText(text string) string { return truncate(text, maxTextBytes) }

// setCondition sets a condition, with its time in whole seconds: JSON keeps no more, and after a mutating policy, which
// works on JSON, the status must be the same as before.
func setCondition(d *postern.WebhookDelivery, kind string, status metav1.ConditionStatus, reason, message string, now time.Time) {
	meta.SetStatusCondition(&d.Status.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)),
	})
}

// noMatchMessage is the message of a delivery that nothing wants. It names what was pushed as targets have to name it, since a
// target that should have wanted it names something else.
func noMatchMessage(by string, events []postern.DeliveryEvent) string {
	if len(events) == 0 {
		return by + " wants what was pushed"
	}
	message := by + " wants " + truncateText(describeEvent(&events[0]))
	switch others := len(events) - 1; others {
	case 0:
		return message
	case 1:
		return message + ", or the other ref"
	default:
		return message + fmt.Sprintf(", or the %d other refs", others)
	}
}

// describeEvent names an image with its registry, and a git ref with its repository if the sender tells it.
func describeEvent(event *postern.DeliveryEvent) string {
	switch {
	case event.Image != nil:
		return imageName(event.Image) + ":" + event.Ref
	case event.Repository != "":
		return event.Ref + " of " + event.Repository
	}
	return event.Ref
}

func imageName(image *postern.ImageReference) string { return image.Host + "/" + image.Repository }
