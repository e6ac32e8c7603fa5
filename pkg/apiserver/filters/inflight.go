// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"net/http"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/endpoints/responsewriter"
	genericapiserver "k8s.io/apiserver/pkg/server"
)

// WithInFlightLimit is the framework's chain with its limit of requests in flight, except that probes are never
// limited: kubelet would restart a busy server whose probes fail.
func WithInFlightLimit(handler http.Handler, generic *genericapiserver.Config) http.Handler {
	limited := genericapiserver.DefaultBuildHandlerChain(handler, generic)
	unlimited := *generic
	unlimited.FlowControl, unlimited.MaxRequestsInFlight, unlimited.MaxMutatingRequestsInFlight = nil, 0, 0
	probes := genericapiserver.DefaultBuildHandlerChain(handler, &unlimited)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if IsProbe(req.URL.Path) {
			probes.ServeHTTP(w, req)
			return
		}
		limited.ServeHTTP(responsewriter.WrapForHTTP1Or2(&tooManyRequestsWriter{ResponseWriter: w}), req)
	})
}

// IsProbe reports whether a path is of a health check.
func IsProbe(path string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return first == "livez" || first == "readyz" || first == "healthz"
}

// tooManyRequestsWriter replaces the framework's plain-text 429 with a metav1.Status, like other errors.
//
// Source: tooManyRequests in k8s.io/apiserver, pkg/server/filters/wrap.go.
type tooManyRequestsWriter struct {
	http.ResponseWriter
	refused bool
}

// Unwrap supports http.ResponseController.
func (w *tooManyRequestsWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader writes the whole response if it is replaced.
func (w *tooManyRequestsWriter) WriteHeader(code int) {
	if code != http.StatusTooManyRequests || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		w.ResponseWriter.WriteHeader(code)
		return
	}
	w.refused = true
	CountRefused(causeRequestsInFlight)
	seconds, err := strconv.Atoi(w.Header().Get("Retry-After"))
	if err != nil {
		seconds = RetryAfterSeconds
	}
	WriteError(w.ResponseWriter, apierrors.NewTooManyRequests(
		"too many requests are in flight (--max-requests-inflight and --max-mutating-requests-inflight bound them): "+
			"send it again later", seconds))
}

// Write drops the replaced text.
func (w *tooManyRequestsWriter) Write(p []byte) (int, error) {
	if w.refused {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}
