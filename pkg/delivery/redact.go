// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"errors"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/payload"
	"postern.dev/postern/pkg/target"
)

// ReasonNotWanted is what a sender without an identity is told of a delivery that changed nothing, whether there is no
// target or the owner of one said no.
const ReasonNotWanted = "NotWanted"

// Redact returns what a caller is told of a delivery, which may be nil, and of the error that answers it, which may be nil
// too. A caller that the cluster has authenticated is told all: RBAC says what it may do, and the audit log has its name.
// Any other has at most shown a webhook secret, which lets it ask for refs and read nothing; it is told what became of
// what it sent. Every answer to a sender goes through here. It changes neither argument.
func Redact(caller user.Info, delivery *postern.WebhookDelivery, err error) (*postern.WebhookDelivery, error) {
	if _, known := credential.Identify(caller); known {
		return delivery, err
	}
	if err != nil {
		err = redactError(err)
	}
	if delivery == nil {
		return nil, err
	}
	return redactDelivery(delivery), err
}

// redactDelivery holds the fields that are told, and no other: what the caller sent itself, the name of the record, and the
// outcome without anything of a target, of an earlier delivery or of who sent that.
func redactDelivery(delivery *postern.WebhookDelivery) *postern.WebhookDelivery {
	told := &postern.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{Namespace: delivery.Namespace, Name: delivery.Name},
		Spec: postern.WebhookDeliverySpec{
			Source: delivery.Spec.Source, Target: delivery.Spec.Target.DeepCopy(),
			Events: make([]postern.DeliveryEvent, 0, len(delivery.Spec.Events)),
		},
	}
	for _, event := range delivery.Spec.Events {
		told.Spec.Events = append(told.Spec.Events, postern.DeliveryEvent{
			Source: event.Source, Event: event.Event, Ref: event.Ref, RefType: event.RefType, Image: event.Image.DeepCopy(),
		})
	}
	told.Status.Phase = delivery.Status.Phase
	told.Status.Reason, told.Status.Message = redactOutcome(delivery.Status)
	return told
}

// publicMessages are of the reasons that are told as they are. None of them says anything of a target but that it has what
// was asked for.
var publicMessages = map[string]string{
	target.ReasonRequested:        "",
	target.ReasonAlreadyRequested: "ref already set",
	target.ReasonSuperseded:       "something newer was requested",
	ReasonAlreadyDelivered:        "it was delivered before",
	ReasonNothingRequested:        "nothing is requested",
	ReasonTargetUnavailable:       "recorded, and tried again until it is written",
	ReasonTargetRefused:           "it can't be written until its target is changed; the record says why",
	ReasonNotWanted:               "nothing wants it; the record says why",
}

func redactOutcome(status postern.WebhookDeliveryStatus) (reason, message string) {
	if payload.IsIgnoredReason(status.Reason) { // it says what the payload says
		return status.Reason, status.Message
	}
	reason = status.Reason
	if _, general := publicMessages[reason]; !general {
		reason = reasonOfPhase[status.Phase]
	}
	return reason, publicMessages[reason]
}

var reasonOfPhase = map[postern.DeliveryPhase]string{
	postern.DeliveryPending:    ReasonTargetUnavailable,
	postern.DeliveryApplied:    target.ReasonRequested,
	postern.DeliverySuperseded: target.ReasonSuperseded,
	postern.DeliveryIgnored:    ReasonNotWanted,
	postern.DeliveryFailed:     ReasonTargetRefused,
}

// redactError leaves an error that is about the request as it is, that of an admission policy included, whose message
// is meant for the sender. What went wrong behind it is for the log.
func redactError(err error) error {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return statusError(http.StatusInternalServerError, metav1.StatusReasonInternalError, publicFailureMessage)
	}
	was := status.Status()
	if was.Code < http.StatusInternalServerError {
		return err
	}
	told := &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: was.Code, Reason: was.Reason, Message: publicFailureMessage,
	}}
	if was.Code != http.StatusInternalServerError {
		told.ErrStatus.Message = "it can't be delivered now: send the webhook again later"
	}
	if was.Details != nil && was.Details.RetryAfterSeconds > 0 {
		told.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: was.Details.RetryAfterSeconds}
	}
	return told
}

const publicFailureMessage = "it could not be delivered, and to send it again does not help; the record or the log of Postern says why"
