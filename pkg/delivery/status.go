// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
)

// Reasons in a delivery's status, beside those of the payload and target packages.
const (
	// ReasonNothingRequested is that of a delivery that asks for nothing.
	ReasonNothingRequested = "NothingRequested"
	// ReasonTargetUnavailable is that of a target that could not be written just now.
	ReasonTargetUnavailable = "TargetUnavailable"
	// ReasonTargetRefused is that of a target that can't be written until somebody changes something.
	ReasonTargetRefused = "TargetRefused"
)

// resultOf starts the result at the one target of a delivery.
func resultOf(d *postern.WebhookDelivery, event postern.DeliveryEvent, now time.Time) postern.TargetResult {
	return postern.TargetResult{Kind: d.Spec.Target.Kind, Name: d.Spec.Target.Name, Ref: event.Ref, Time: metav1.NewTime(now)}
}

func setApplied(d *postern.WebhookDelivery, event postern.DeliveryEvent, outcome target.Outcome, now time.Time) {
	result := resultOf(d, event, now)
	result.Result = postern.TargetWritten
	if outcome.Reason == target.ReasonAlreadyRequested {
		result.Result = postern.TargetUnchanged
	}
	result.UID = outcome.UID
	result.PreviousRef, result.Reason, result.Message = outcome.Previous, outcome.Reason, outcome.Message
	conclude(d, postern.DeliveryApplied, metav1.ConditionTrue, result)
}

func setFailed(d *postern.WebhookDelivery, event postern.DeliveryEvent, err error, now time.Time) {
	result := resultOf(d, event, now)
	result.Result = postern.TargetFailed
	result.Reason, result.Message = ReasonTargetRefused, err.Error()
	if target.IsTransient(err) {
		result.Reason = ReasonTargetUnavailable
	}
	conclude(d, postern.DeliveryFailed, metav1.ConditionFalse, result)
}

// conclude sets the status to what came of the delivery at its target.
func conclude(d *postern.WebhookDelivery, phase postern.DeliveryPhase, applied metav1.ConditionStatus, result postern.TargetResult) {
	d.Status.Phase, d.Status.Reason, d.Status.Message = phase, result.Reason, result.Message
	d.Status.Targets = []postern.TargetResult{result}
	setCondition(d, postern.ConditionApplied, applied, result.Reason, result.Message, result.Time.Time)
}

// setCondition sets a condition, with its time in whole seconds: JSON keeps no more, and after a mutating policy, which
// works on JSON, the status must be the same as before.
func setCondition(d *postern.WebhookDelivery, kind string, status metav1.ConditionStatus, reason, message string, now time.Time) {
	meta.SetStatusCondition(&d.Status.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)),
	})
}
