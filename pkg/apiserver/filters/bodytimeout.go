// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package filters

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
)

// WithBodyTimeout bounds how long a body may take to arrive; later reads return a 504. The framework bounds only the
// headers, and a timed-out request would hold its connection and its share of every limit while its body is read.
//
// It must be the outermost handler that uses the body, so that it also bounds bodies that no handler reads.
func WithBodyTimeout(next http.Handler, timeout time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		bounded, done, err := limitBodyTime(w, req, timeout)
		if err != nil {
			WriteError(w, err)
			return
		}
		defer done()
		next.ServeHTTP(w, bounded)
	})
}

// limitBodyTime returns the request with a body that must arrive within timeout. Call done at the end of the request.
func limitBodyTime(
	w http.ResponseWriter, req *http.Request, timeout time.Duration,
) (bounded *http.Request, done func(), err error) {
	if req.Body == nil || req.Body == http.NoBody {
		return req, func() {}, nil
	}
	// The server removes the deadline once the body has arrived.
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

// Read returns a 504 after the deadline.
func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		b.arrived.Store(true)
	case errors.Is(err, os.ErrDeadlineExceeded):
		if b.refused.CompareAndSwap(false, true) { // a handler may read again after an error
			CountRefused(causePayloadTimeout)
		}
		err = apierrors.NewTimeoutError(fmt.Sprintf(
			"the body did not arrive within %s, which --payload-timeout sets: send it again, all of it at once",
			b.timeout), RetryAfterSeconds)
	}
	return n, err
}

// clientContext returns ctx without the cancellation caused by the deadline, which the server takes for a client that
// left. Otherwise a handler that waits for ctx could answer before the reader of the body, which has the cause.
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
