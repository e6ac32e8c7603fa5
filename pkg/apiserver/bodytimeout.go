// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"postern.dev/postern/pkg/registry/deliver"
)

// withBodyTimeout ends the reading of a body that takes longer to arrive, with an error that answers 504. Nothing else
// would: the framework bounds the headers only, and a request whose time is up still holds its connection, and a share of
// every limit, for as long as somebody waits for its body.
//
// It must be the outermost handler that touches the body, so that the server also gives up on a body that nobody reads.
func withBodyTimeout(next http.Handler, timeout time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		bounded, done, err := limitBodyTime(w, req, timeout)
		if err != nil {
			deliver.WriteError(w, err)
			return
		}
		defer done()
		next.ServeHTTP(w, bounded)
	})
}

// limitBodyTime returns the request with a body that must arrive in that time. Call done at the end of the request.
func limitBodyTime(w http.ResponseWriter, req *http.Request, timeout time.Duration) (bounded *http.Request, done func(), err error) {
	if req.Body == nil || req.Body == http.NoBody {
		return req, func() {}, nil
	}
	// The server lifts this itself once the body has arrived.
	deadline := time.Now().Add(timeout)
	if err := http.NewResponseController(w).SetReadDeadline(deadline); err != nil {
		return nil, nil, apierrors.NewInternalError(fmt.Errorf("could not bound the time of the body: %w", err))
	}
	body := &timedBody{ReadCloser: req.Body, deadline: deadline, timeout: timeout}
	ctx, cancel := body.clientContext(req.Context())
	bounded = req.WithContext(ctx)
	bounded.Body = body
	return bounded, cancel, nil
}

// timedBody is a body that must arrive before the read deadline of its connection, or of its stream in HTTP/2.
type timedBody struct {
	io.ReadCloser
	deadline time.Time
	timeout  time.Duration
	arrived  atomic.Bool
	refused  atomic.Bool
}

// Read returns an error that says what happened, and is an answer, when the time is up.
func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		b.arrived.Store(true)
	case errors.Is(err, os.ErrDeadlineExceeded):
		if b.refused.CompareAndSwap(false, true) { // a body may be read on after an error
			countRefused(causePayloadTimeout)
		}
		err = apierrors.NewTimeoutError(fmt.Sprintf(
			"the body did not arrive within %s, which --payload-timeout sets: send it again, all of it at once", b.timeout), retryAfterSeconds)
	}
	return n, err
}

// clientContext returns the context without the one reason to end that the deadline is: to the server, an error of the
// connection means that the client has left. Whoever waits for the end of the context would answer before the reader of
// the body, which knows why.
func (b *timedBody) clientContext(ctx context.Context) (context.Context, context.CancelFunc) {
	detached, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if b.arrived.Load() || time.Now().Before(b.deadline) {
			cancel()
		}
	})
	return detached, func() {
		stop()
		cancel()
	}
}
