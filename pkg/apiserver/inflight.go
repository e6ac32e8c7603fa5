// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"net/http"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/endpoints/responsewriter"
	genericapiserver "k8s.io/apiserver/pkg/server"

	"postern.dev/postern/pkg/registry/deliver"
)

// withInFlightLimit is the framework's chain, which bounds how many requests are under way, except that probes do not count
// and are always answered: a kubelet that is told to come again later ends a server that is merely busy.
func withInFlightLimit(handler http.Handler, generic *genericapiserver.Config) http.Handler {
	limited := genericapiserver.DefaultBuildHandlerChain(handler, generic)
	unlimited := *generic
	unlimited.FlowControl, unlimited.MaxRequestsInFlight, unlimited.MaxMutatingRequestsInFlight = nil, 0, 0
	probes := genericapiserver.DefaultBuildHandlerChain(handler, &unlimited)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if isProbe(req.URL.Path) {
			probes.ServeHTTP(w, req)
			return
		}
		limited.ServeHTTP(responsewriter.WrapForHTTP1Or2(&tooManyRequestsWriter{ResponseWriter: w}), req)
	})
}

func isProbe(path string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return first == "livez" || first == "readyz" || first == "healthz"
}

// tooManyRequestsWriter turns the framework's 429, which is plain text, into a metav1.Status as every other error is.
//
// Source: tooManyRequests in k8s.io/apiserver, pkg/server/filters/wrap.go.
type tooManyRequestsWriter struct {
	http.ResponseWriter
	refused bool
}

// Unwrap gives the framework what is below, as its wrappers do.
func (w *tooManyRequestsWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader writes all of the answer if it is one to be replaced.
func (w *tooManyRequestsWriter) WriteHeader(code int) {
	if code != http.StatusTooManyRequests || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		w.ResponseWriter.WriteHeader(code)
		return
	}
	w.refused = true
	countRefused(causeRequestsInFlight)
	seconds, err := strconv.Atoi(w.Header().Get("Retry-After"))
	if err != nil {
		seconds = retryAfterSeconds
	}
	deliver.WriteError(w.ResponseWriter, apierrors.NewTooManyRequests(
		"too many requests are being worked on (--max-requests-inflight and --max-mutating-requests-inflight bound them): send it again later", seconds))
}

// Write drops the text that was replaced.
func (w *tooManyRequestsWriter) Write(p []byte) (int, error) {
	if w.refused {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}
