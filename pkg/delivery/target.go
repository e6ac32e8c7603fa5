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
	"postern.dev/postern/pkg/imageupdate"
	"postern.dev/postern/pkg/target"
)

// retryAfterSeconds is when a sender is told to try again: the pause that the kube-apiserver, too, asks for.
const retryAfterSeconds = 1

func targetKey(d *postern.WebhookDelivery) target.Key {
	return target.Key{Kind: target.Kind(d.Spec.Target.Kind), Namespace: d.Namespace, Name: d.Spec.Target.Name}
}

// credentialTarget is a target as credentials know it.
func credentialTarget(key target.Key) *credential.Target {
	resource := credential.ResourceGatewaySyncs
	if key.Kind == target.KindApplication {
		resource = credential.ResourceApplications
	}
	return &credential.Target{Resource: resource, Name: key.Name}
}

// request is what a task asks of its target.
func (t task) request(now time.Time) target.Request {
	e := t.event
	r := target.Request{
		Ref: e.Ref, RefType: target.RefType(e.RefType), DefaultBranch: e.DefaultBranch,
		Revision: e.Revision, Repository: e.Repository, IfFollowed: t.matched, By: e.Source, At: now,
		Anonymous: t.anonymous, Received: t.received, Retry: t.retry, Override: t.override,
	}
	if e.Time != nil {
		r.EventTime = e.Time.Time
		// A sender whose clock is wrong, or who lies, must not outdate what others ask for later. Many tell whole seconds.
		if r.EventTime.After(t.received) {
			r.EventTime = t.received.Truncate(time.Second)
		}
	}
	if i := e.Image; i != nil {
		r.Image = &imageupdate.Image{Name: imageName(i), Tag: i.Tag, Digest: i.Digest}
	}
	return r
}

// answerFor turns a failure at the target into an answer: 404 where there is none, 503 where sending again may help, and
// 500 where somebody has to change something first.
func answerFor(err error) error {
	switch {
	case apierrors.IsNotFound(err):
		return statusError(http.StatusNotFound, metav1.StatusReasonNotFound, err.Error())
	case mayFindLater(err):
		return answerUnavailable("the target could not be written just now", err)
	}
	return statusError(http.StatusInternalServerError, metav1.StatusReasonInternalError, "the target can't be written: "+err.Error())
}

// answerForRecord turns a failure of the storage into an answer. What the storage has against the record stays as it is.
func answerForRecord(err error) error {
	var status apierrors.APIStatus
	if err == nil || errors.As(err, &status) && status.Status().Code < http.StatusInternalServerError {
		return err
	}
	return answerUnavailable("the delivery could not be recorded just now", err)
}

// answerUnavailable answers 503, and when to send the webhook again.
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
