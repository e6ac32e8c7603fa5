// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package filters has the HTTP filters of Postern: the limits of requests, bodies and work, and the secret and dryRun
// of the query. The API server and the classic receiver use them. The package does not depend on storage or on flags.
package filters

import (
	"net/http"
	"sync/atomic"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"

	"postern.dev/postern/pkg/apierror"
)

// RetryAfterSeconds is the Retry-After of responses to requests over a limit.
const RetryAfterSeconds = 5

// WriteError writes an error as a metav1.Status in JSON, with Retry-After if the error has a delay.
func WriteError(w http.ResponseWriter, err error) {
	status := responsewriters.ErrorToAPIStatus(err)
	apierror.SetRetryAfter(w.Header(), status)
	responsewriters.WriteRawJSON(int(status.Code), status, w)
}

// WithConnectionClose closes each connection after its response once the server is stopping. Otherwise clients such as
// the kube-apiserver would reuse connections and could send a request on one that is being closed.
func WithConnectionClose(next http.Handler, stopping *atomic.Bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if stopping.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, req)
	})
}

// ErrStorageUnavailable returns the response while the storage is unavailable. The cause is only logged: any caller
// sees this.
func ErrStorageUnavailable() error {
	return ErrUnavailable("the storage is unavailable, see Postern's log: send it again later")
}

// ErrUnavailable returns a 503 with Retry-After.
func ErrUnavailable(message string) error {
	return apierror.Unavailable(message, RetryAfterSeconds)
}

// errRequestEnded is returned if the client leaves while its request is queued. The client does not read it.
func errRequestEnded() error {
	return apierrors.NewTooManyRequests("the request ended while it was queued", RetryAfterSeconds)
}
