// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"net/http"
	"runtime"
	"time"

	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/endpoints/responsewriter"

	"postern.dev/postern/apis/postern"
)

// WatchWriteTimeout bounds how long a client may take to read one watch event.
const WatchWriteTimeout = 10 * time.Second

// WithYieldingReads keeps lists and watches of our API group from delaying other requests.
//
// It ends a watch whose client stops reading. The framework would keep up to 100 events with their JSON, tens of
// megabytes, until the client leaves. Watching clients reconnect. Watches over WebSocket are not bounded, because the
// framework bypasses the response writer.
//
// It yields after each encoded object. Encoding many large objects keeps a processor busy, and a delivery goes through
// many goroutines, each of which would wait.
func WithYieldingReads(next http.Handler, timeout time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		info, ok := genericapirequest.RequestInfoFrom(req.Context())
		if !ok || info.APIGroup != postern.GroupName || info.Verb != "watch" && info.Verb != "list" {
			next.ServeHTTP(w, req)
			return
		}
		yielding := &yieldingWriter{ResponseWriter: w, controller: http.NewResponseController(w)}
		if info.Verb == "watch" {
			yielding.timeout = timeout
			defer func() { _ = yielding.controller.SetWriteDeadline(time.Time{}) }() // the connection may be reused
		}
		next.ServeHTTP(responsewriter.WrapForHTTP1Or2(yielding), req)
	})
}

// yieldingWriter bounds the time of each write and yields the processor after it.
type yieldingWriter struct {
	http.ResponseWriter
	controller *http.ResponseController
	// timeout bounds how long the client may take to read one write; zero means no bound.
	timeout time.Duration
}

// Unwrap supports http.ResponseController.
func (w *yieldingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush sends buffered data and clears the deadline: over HTTP/2, an expired deadline ends even an idle stream.
func (w *yieldingWriter) Flush() {
	_ = w.controller.Flush()
	if w.timeout > 0 {
		_ = w.controller.SetWriteDeadline(time.Time{})
	}
}

// Write sets the deadline for p and the following flush, then yields to other goroutines.
func (w *yieldingWriter) Write(p []byte) (int, error) {
	if w.timeout > 0 {
		if err := w.controller.SetWriteDeadline(time.Now().Add(w.timeout)); err != nil {
			return 0, err
		}
	}
	n, err := w.ResponseWriter.Write(p)
	runtime.Gosched()
	return n, err
}
