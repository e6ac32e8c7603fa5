// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"math"
	"net/http"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/apierror"
	"postern.dev/postern/pkg/credential"
)

// unauthorized returns the answer to a rejection. Its message does not depend on what is configured or exists.
func unauthorized(err error) error {
	var rejection *credential.Rejection
	if !errors.As(err, &rejection) {
		return apierrors.NewInternalError(err)
	}
	rejected := &rejectedError{
		StatusError: apierrors.NewUnauthorized(rejection.Error()), reason: string(rejection.Reason),
		detail: rejection.Detail,
	}
	if rejection.RetryAfter > 0 { // 401 would tell senders not to try again
		rejected.StatusError = apierror.Unavailable("the OIDC token can't be verified yet, send the webhook again: "+
			"the keys of its issuer are being fetched", int32(math.Ceil(rejection.RetryAfter.Seconds())))
	}
	return rejected
}

// rejectedError adds to an answer the reason and its detail, which only the operator may know.
type rejectedError struct {
	*apierrors.StatusError
	reason, detail string
}

// Unwrap returns the answer.
func (e *rejectedError) Unwrap() error { return e.StatusError }

// invalid returns 422. It quotes the name of a delivery only if the name is valid.
func invalid(d *postern.WebhookDelivery, errs field.ErrorList) error {
	name := d.Name
	if slices.ContainsFunc(errs, func(err *field.Error) bool { return err.Field == "metadata.name" }) {
		name = ""
	}
	return apierrors.NewInvalid(postern.Kind("WebhookDelivery"), name, errs)
}

// answerFor returns the answer to a failure at the target: 404 if it does not exist, 503 if sending again may help, and
// 500 if something has to be changed first.
func answerFor(err error) error {
	switch {
	case apierrors.IsNotFound(err):
		return apierror.New(http.StatusNotFound, metav1.StatusReasonNotFound, err.Error())
	case isTransient(err):
		return answerUnavailable("the target can't be written now", err)
	}
	return apierror.New(http.StatusInternalServerError, metav1.StatusReasonInternalError,
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
	return apierror.Unavailable(what+", send the webhook again: "+err.Error(), apierror.RetryAfterSeconds)
}

// checkContext returns an error if the request has ended: its client has left or its deadline has passed. Stages that
// take much time call it first: no client would read their answer, and nothing has begun that must be completed.
func checkContext(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return answerUnavailable("the request ended before the delivery was executed", err)
	}
	return nil
}
