// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"errors"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/target"
)

// retryAfterSeconds is when a sender may send a delivery again. The kube-apiserver uses the same value.
const retryAfterSeconds = 1

func targetKey(d *postern.WebhookDelivery) postern.TargetKey {
	return postern.TargetKey{Kind: postern.TargetKind(d.Spec.Target.Kind), Namespace: d.Namespace, Name: d.Spec.Target.Name}
}

// credentialTarget returns the key as a credential.Target.
func credentialTarget(key postern.TargetKey) *credential.Target {
	resource := credential.ResourceGatewaySyncs
	if key.Kind == postern.TargetApplication {
		resource = credential.ResourceApplications
	}
	return &credential.Target{Resource: resource, Name: key.Name}
}

// request returns the request of a task to its target.
func (t task) request(now time.Time) target.Request {
	return target.Request{
		DeliveryEvent: t.event, IfFollowed: t.matched, At: now,
		Anonymous: t.anonymous, Received: t.received, Retry: t.retry, Override: t.override,
	}
}

// answerFor returns the answer to a failure at the target: 404 if it does not exist, 503 if sending again may help, and
// 500 if something has to be changed first.
func answerFor(err error) error {
	switch {
	case apierrors.IsNotFound(err):
		return statusError(http.StatusNotFound, metav1.StatusReasonNotFound, err.Error())
	case isTransient(err):
		return answerUnavailable("the target can't be written now", err)
	}
	return statusError(http.StatusInternalServerError, metav1.StatusReasonInternalError,
		"the target can't be written: "+err.Error())
}

// answerForRecord returns the answer to a storage failure. It passes on the storage's objections to the record.
func answerForRecord(err error) error {
	var status apierrors.APIStatus
	if err == nil || errors.As(err, &status) && status.Status().Code < http.StatusInternalServerError {
		return err
	}
	return answerUnavailable("the delivery can't be recorded now", err)
}

// answerUnavailable returns 503 with the time after which to send the webhook again.
func answerUnavailable(what string, err error) error {
	answer := apierrors.NewServiceUnavailable(what + ", send the webhook again: " + err.Error())
	answer.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: retryAfterSeconds}
	return answer
}

func statusError(code int32, reason metav1.StatusReason, message string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message,
	}}
}
