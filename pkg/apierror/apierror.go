// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package apierror builds the errors of Postern's answers that k8s.io/apimachinery/pkg/api/errors does not: all are
// API statuses, as the kube-apiserver returns them.
package apierror

import (
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RetryAfterSeconds is when a client may send a request again if nothing better is known. The kube-apiserver uses the
// same value.
const RetryAfterSeconds = 1

// New returns an error with a code, a reason and a message for the client.
func New(code int32, reason metav1.StatusReason, message string) *apierrors.StatusError {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message,
	}}
}

// Unavailable returns 503 with the time after which the client may send the request again.
func Unavailable(message string, retryAfterSeconds int32) *apierrors.StatusError {
	err := apierrors.NewServiceUnavailable(message)
	err.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: retryAfterSeconds}
	return err
}

// SetRetryAfter sets the Retry-After header of an answer if the status has a time to retry after.
func SetRetryAfter(header http.Header, status *metav1.Status) {
	if status.Details != nil && status.Details.RetryAfterSeconds > 0 {
		header.Set("Retry-After", strconv.Itoa(int(status.Details.RetryAfterSeconds)))
	}
}
