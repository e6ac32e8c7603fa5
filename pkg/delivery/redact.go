// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"errors"
	"net/http"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/apierror"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/payload"
	"postern.dev/postern/pkg/target"
)

// ReasonNotWanted is the reason for an anonymous sender whose delivery changed nothing, whether there is no target or
// its owner does not want the ref.
const ReasonNotWanted = "NotWanted"

// Redact returns what a caller may see of a delivery and of its error, either of which may be nil. A caller that the
// cluster has authenticated sees all: RBAC restricts it, and the audit log has its name. An anonymous caller has at
// most a webhook secret, which permits requesting refs and reading nothing. It sees the outcome of its own request.
// Every answer to a sender must be redacted. Redact does not change its arguments.
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

// redactDelivery returns only fields that are public: what the caller sent, the name of the record, and the outcome,
// without anything about a target, an earlier delivery or its sender.
func redactDelivery(delivery *postern.WebhookDelivery) *postern.WebhookDelivery {
	public := &postern.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{Namespace: delivery.Namespace, Name: delivery.Name},
		Spec: postern.WebhookDeliverySpec{
			Source: delivery.Spec.Source, Target: delivery.Spec.Target.DeepCopy(),
			Events: make([]postern.DeliveryEvent, 0, len(delivery.Spec.Events)),
		},
	}
	for _, event := range delivery.Spec.Events {
		public.Spec.Events = append(public.Spec.Events, postern.DeliveryEvent{
			Source: event.Source, Event: event.Event, Ref: event.Ref, RefType: event.RefType,
			Image: event.Image.DeepCopy(),
		})
	}
	public.Status.Phase = delivery.Status.Phase
	public.Status.Reason, public.Status.Message = redactOutcome(delivery.Status)
	public.Status.Ignored = slices.Clone(delivery.Status.Ignored)
	return public
}

// publicMessages are the messages of the reasons that are public. They disclose nothing about a target except that it
// holds the requested ref.
var publicMessages = map[string]string{
	target.ReasonRequested:         "",
	target.ReasonAlreadyRequested:  "ref already set",
	target.ReasonSuperseded:        "something newer was requested",
	ReasonAlreadyDelivered:         "it was delivered before",
	target.ReasonCommitNotAccepted: "the target does not accept the commit; " + recordSaysWhy,
	ReasonNothingRequested:         "nothing is requested",
	ReasonTargetUnavailable:        "recorded, and retried until it is written",
	ReasonPaced:                    "it waits for its turn, or did so for too long",
	target.ReasonHeld:              "recorded, and held until it is released",
	ReasonTargetRefused:            "it can't be written until its target is changed; " + recordSaysWhy,
	ReasonNotWanted:                "nothing wants it; " + recordSaysWhy,
}

// recordSaysWhy ends the public messages that hide the cause; see Advise.
const recordSaysWhy = "the record says why"

func redactOutcome(status postern.WebhookDeliveryStatus) (reason, message string) {
	if payload.IsIgnoredReason(status.Reason) { // the message is about the payload
		return status.Reason, status.Message
	}
	reason = status.Reason
	if _, public := publicMessages[reason]; !public {
		reason = reasonOfPhase[status.Phase]
	}
	return reason, publicMessages[reason]
}

var reasonOfPhase = map[postern.DeliveryPhase]string{
	postern.DeliveryPending:    ReasonTargetUnavailable,
	postern.DeliveryHeld:       target.ReasonHeld,
	postern.DeliveryApplied:    target.ReasonRequested,
	postern.DeliverySuperseded: target.ReasonSuperseded,
	postern.DeliveryIgnored:    ReasonNotWanted,
	postern.DeliveryFailed:     ReasonTargetRefused,
}

// redactError returns an error about the request unchanged, including one of an admission policy, whose message is
// meant for the sender. It hides the cause of a server error, which is only logged.
func redactError(err error) error {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return apierror.New(http.StatusInternalServerError, metav1.StatusReasonInternalError, publicFailureMessage)
	}
	original := status.Status()
	if original.Code < http.StatusInternalServerError {
		return err
	}
	message := publicFailureMessage
	if original.Code != http.StatusInternalServerError {
		message = "it can't be delivered now: send the webhook again later"
	}
	public := apierror.New(original.Code, original.Reason, message)
	if original.Details != nil && original.Details.RetryAfterSeconds > 0 {
		public.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: original.Details.RetryAfterSeconds}
	}
	return public
}

const publicFailureMessage = "it could not be delivered, and sending it again does not help; " +
	"the record or the log of Postern says why"
