// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/klog/v2"

	"postern.dev/postern/apis/postern"
)

// IsTransient reports whether a write failed for a cause that may pass (the API server is unreachable or overloaded,
// the deadline was exceeded, other clients kept changing the target), so that a later retry may succeed.
func IsTransient(err error) bool {
	var transient *transientError
	return errors.As(err, &transient)
}

// transientError marks an error for IsTransient.
type transientError struct{ error }

func (e *transientError) Unwrap() error { return e.error }

// errPatchRejected marks a patch that is rejected although its tests match the object.
var errPatchRejected = errors.New("the API server rejects the patch although its tests match the object that was read")

// isTestFailure reports whether a JSON patch was rejected because one of its tests failed. The API server then answers
// 422 without naming the object. An object that fails validation is 422 too, but that answer names the object.
//
// Source: applyJSPatch in k8s.io/apiserver, pkg/endpoints/handlers/patch.go.
func isTestFailure(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Code != http.StatusUnprocessableEntity {
		return false
	}
	details := status.Status().Details
	return details == nil || details.Name == ""
}

// isRetryable reports whether a failed request is worth retrying.
func isRetryable(err error) bool {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		code := status.Status().Code
		return code == http.StatusConflict || code == http.StatusTooManyRequests ||
			code >= http.StatusInternalServerError ||
			isNotAuthorized(status.Status())
	}
	var urlErr *url.Error
	return errors.As(err, &urlErr) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		utilnet.IsProbableEOF(err) || utilnet.IsConnectionReset(err) || utilnet.IsHTTP2ConnectionLost(err)
}

// mayHaveApplied reports whether a failed patch may have been applied: there was no answer, or a server error.
func mayHaveApplied(err error) bool {
	var status apierrors.APIStatus
	return isRetryable(err) && (!errors.As(err, &status) || status.Status().Code >= http.StatusInternalServerError)
}

// isNotAuthorized reports whether a request failed authentication or authorization, and not admission. It may pass: a
// kube-apiserver that has just started briefly knows neither tokens nor roles, and an administrator may grant the
// permission.
//
// Source: forbiddenMessage in k8s.io/apiserver, pkg/endpoints/handlers/responsewriters/errors.go.
func isNotAuthorized(status metav1.Status) bool {
	switch status.Code {
	case http.StatusUnauthorized:
		return true
	case http.StatusForbidden:
		return strings.Contains(status.Message, `User "`) && strings.Contains(status.Message, `" cannot `)
	}
	return false
}

// retryAfter returns the delay that the API server asked for; zero if none.
func retryAfter(err error) time.Duration {
	seconds, _ := apierrors.SuggestsClientDelay(err)
	return time.Duration(seconds) * time.Second
}

// recoverPanic turns a panic into the results of a write. The content of a target must not end the process, and with it
// all other deliveries. It must be deferred itself.
func recoverPanic(ctx context.Context, key postern.TargetKey, requests int, results *[]Result) {
	if problem := recover(); problem != nil {
		*results = failedResults(requests, panicError(ctx, key, problem))
	}
}

// panicError logs a panic, and returns the error of the write.
func panicError(ctx context.Context, key postern.TargetKey, problem any) error {
	klog.FromContext(ctx).Error(nil, "Writing a target panicked", "target", key, "panic", problem,
		"stack", string(debug.Stack()))
	return fmt.Errorf("could not write %s: internal error, see Postern's log", key)
}

// isTargetError reports whether a write failed because of the target, and not because of a request.
func isTargetError(err error) bool { return IsTransient(err) || apierrors.IsNotFound(err) }

// isKindMissing reports whether a 404 means that the resource is not served at all. That answer is not a Status, so the
// client makes one up. For a missing object the API server sends a Status.
func isKindMissing(err error) bool {
	return apierrors.IsNotFound(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}

// wrapMissingKind adds that a kind is not installed, which the plain 404 does not say.
func wrapMissingKind(err error, kind postern.TargetKind) error {
	if isKindMissing(err) {
		return fmt.Errorf("%s is not installed in this cluster: %w", kind, err)
	}
	return err
}
