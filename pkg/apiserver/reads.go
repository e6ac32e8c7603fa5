// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"net/http"
	"runtime"
	"time"

	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/endpoints/responsewriter"

	"postern.dev/postern/apis/postern"
)

// watchWriteTimeout is how long a client may take to read one event of a watch.
const watchWriteTimeout = 10 * time.Second

// withPoliteReads lets lists and watches of our API group leave room for others.
//
// A watch ends whose client does not read. The framework stops to send to it, but keeps up to 100 events with their JSON, tens
// of megabytes, until the client leaves. A client that watches begins anew after an end. A watch by WebSocket is not bounded so:
// the framework writes past the response.
//
// After each object that is encoded, other goroutines come first. To encode many large ones would keep a processor busy for
// long, and what is delivered meanwhile passes through many goroutines, each of which would wait.
func withPoliteReads(next http.Handler, timeout time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		info, ok := genericapirequest.RequestInfoFrom(req.Context())
		if !ok || info.APIGroup != postern.GroupName || info.Verb != "watch" && info.Verb != "list" {
			next.ServeHTTP(w, req)
			return
		}
		polite := &politeWriter{ResponseWriter: w, controller: http.NewResponseController(w)}
		if info.Verb == "watch" {
			polite.timeout = timeout
			defer func() { _ = polite.controller.SetWriteDeadline(time.Time{}) }() // the connection may serve others
		}
		next.ServeHTTP(responsewriter.WrapForHTTP1Or2(polite), req)
	})
}

// politeWriter is a response that is written in parts.
type politeWriter struct {
	http.ResponseWriter
	controller *http.ResponseController
	// timeout bounds how long a part may take to be read; zero does not.
	timeout time.Duration
}

// Unwrap gives the framework what is below, as its wrappers do.
func (w *politeWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush sends what was written. Over HTTP/2 a deadline that passes ends a stream on which nothing is written, too, and so it
// holds no longer than that.
func (w *politeWriter) Flush() {
	_ = w.controller.Flush()
	if w.timeout > 0 {
		_ = w.controller.SetWriteDeadline(time.Time{})
	}
}

// Write bounds the time of what it writes, and of the flush that follows, and lets other goroutines come before what is
// written next.
func (w *politeWriter) Write(p []byte) (int, error) {
	if w.timeout > 0 {
		if err := w.controller.SetWriteDeadline(time.Now().Add(w.timeout)); err != nil {
			return 0, err
		}
	}
	n, err := w.ResponseWriter.Write(p)
	runtime.Gosched()
	return n, err
}
