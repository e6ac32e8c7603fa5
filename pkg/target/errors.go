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
)

// IsTransient reports whether a write failed for a cause that may pass by itself
// (the API server was unreachable or overloaded, the time ran out, others kept
// changing the target), so that it is worth asking again later.
func IsTransient(err error) bool {
	var transient *transientError
	return errors.As(err, &transient)
}

// transientError marks an error for IsTransient.
type transientError struct{ error }

func (e *transientError) Unwrap() error { return e.error }

// errPatchRejected marks a patch that is refused although it tests for what is there.
var errPatchRejected = errors.New("the API server refuses the patch although it names what was read")

// isTestFailure reports whether a JSON patch was refused because one of its
// tests failed. The API server then answers 422 in its most general form; an
// object that fails validation is 422 too, but that answer names the object.
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

// isRetryable reports whether one failed request is worth repeating.
func isRetryable(err error) bool {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		code := status.Status().Code
		return code == http.StatusConflict || code == http.StatusTooManyRequests || code >= http.StatusInternalServerError ||
			isNotAuthorized(status.Status())
	}
	var urlErr *url.Error
	return errors.As(err, &urlErr) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		utilnet.IsProbableEOF(err) || utilnet.IsConnectionReset(err) || utilnet.IsHTTP2ConnectionLost(err)
}

// mayHaveApplied reports whether a patch that failed may be in force all the same: no
// answer came, or the API server itself does not know.
func mayHaveApplied(err error) bool {
	var status apierrors.APIStatus
	return isRetryable(err) && (!errors.As(err, &status) || status.Status().Code >= http.StatusInternalServerError)
}

// isNotAuthorized reports whether the API server does not let Postern write, rather than admission the change. A
// kube-apiserver that has just started knows neither tokens nor roles for a moment; and an administrator may mend it.
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

// retryAfter is how long the API server asked us to wait; zero if it did not.
func retryAfter(err error) time.Duration {
	seconds, _ := apierrors.SuggestsClientDelay(err)
	return time.Duration(seconds) * time.Second
}

// panicError is the error of a write that panicked: whatever a target holds must not end
// the process, and with it all other deliveries.
func panicError(ctx context.Context, key Key, problem any) error {
	klog.FromContext(ctx).Error(nil, "Writing a target panicked", "target", key, "panic", problem, "stack", string(debug.Stack()))
	return fmt.Errorf("could not write %s: a mistake in Postern, see its log", key)
}

// isKindMissing reports whether a 404 says that the whole resource is not there.
// Nobody serves its path then, so the answer is not a Status and the client makes
// one up; of a missing object the API server says so itself.
func isKindMissing(err error) bool {
	return apierrors.IsNotFound(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}

// wrapMissingKind adds what the bare answer of the API server leaves unclear.
func wrapMissingKind(err error, kind Kind) error {
	if isKindMissing(err) {
		return fmt.Errorf("%s is not installed in this cluster: %w", kind, err)
	}
	return err
}
