// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// maxRateWait bounds how long a request waits for the rate limit: most senders time out after ten seconds.
const maxRateWait = 10 * time.Second

// Rate is a number of requests of all senders per time, which is also the burst. The zero value is no limit.
type Rate struct {
	Requests int
	Per      time.Duration
}

// ParseRate parses a rate: 100 or 100/h for requests per hour, 100/m per minute, 100/s per second, 0 for no limit.
func ParseRate(text string) (Rate, error) {
	number, unit, found := strings.Cut(strings.TrimSpace(text), "/")
	if !found {
		unit = "h"
	}
	per, known := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[strings.TrimSpace(unit)]
	requests, err := strconv.ParseInt(strings.TrimSpace(number), 10, strconv.IntSize)
	if !known || err != nil || requests < 0 {
		return Rate{}, fmt.Errorf("%q is not a valid rate: give requests per hour, such as 100, "+
			"or with a unit: 10/s, 100/m or 1000/h; 0 means no limit", text)
	}
	if requests == 0 {
		return Rate{}, nil
	}
	return Rate{Requests: int(requests), Per: per}, nil
}

// String returns the rate in the format of ParseRate.
func (r Rate) String() string {
	if r.Requests == 0 {
		return "0"
	}
	return strconv.Itoa(r.Requests) + "/" +
		map[time.Duration]string{time.Second: "s", time.Minute: "m", time.Hour: "h"}[r.Per]
}

// limit returns next behind the rate limit, except for probes. A request over the limit waits before its body is read.
// It is answered 429 at once, and onRefused is called, if it would wait longer than maxRateWait or maxWaiting others
// wait.
func (r Rate) limit(next http.Handler, maxWaiting int, onRefused func()) http.Handler {
	if r.Requests == 0 {
		return next
	}
	limiter := rate.NewLimiter(rate.Limit(float64(r.Requests)/r.Per.Seconds()), r.Requests)
	var waiting atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch {
		case req.URL.Path == healthPath, limiter.Allow():
			next.ServeHTTP(w, req)
		case waitForToken(req.Context(), limiter, &waiting, maxWaiting):
			next.ServeHTTP(w, req)
		case req.Context().Err() == nil: // the sender has not left
			onRefused()
			writeError(w, errRateLimited(retryDelay(limiter)))
		}
	})
}

// waitForToken reports whether the limiter granted a token in time.
func waitForToken(ctx context.Context, limiter *rate.Limiter, waiting *atomic.Int64, maxWaiting int) bool {
	defer waiting.Add(-1)
	if waiting.Add(1) > int64(maxWaiting) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, maxRateWait)
	defer cancel()
	return limiter.Wait(ctx) == nil // Wait fails at once if the deadline would pass before
}

// retryDelay returns after how long a request would get a token in time.
func retryDelay(limiter *rate.Limiter) time.Duration {
	untilToken := (1 - limiter.Tokens()) / float64(limiter.Limit())
	return time.Duration(untilToken*float64(time.Second)) - maxRateWait
}

// errRateLimited returns a 429 with Retry-After.
func errRateLimited(after time.Duration) error {
	seconds := max(1, int(math.Ceil(after.Seconds())))
	return apierrors.NewTooManyRequests(
		"the rate limit (--webhook-ratelimit-allowed) is exceeded: send the webhook again later", seconds)
}
