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

// maxRateWait is how long a request waits for its turn: most senders give up after ten seconds.
const maxRateWait = 10 * time.Second

// Rate is how many requests are let through in a time, all senders together. That many may come at once. The zero value
// lets all through.
type Rate struct {
	Requests int
	Per      time.Duration
}

// ParseRate returns the rate that a text stands for: 100 or 100/h an hour, 100/m a minute, 100/s a second, 0 without a
// limit.
func ParseRate(text string) (Rate, error) {
	number, unit, found := strings.Cut(strings.TrimSpace(text), "/")
	if !found {
		unit = "h"
	}
	per, known := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[strings.TrimSpace(unit)]
	requests, err := strconv.ParseInt(strings.TrimSpace(number), 10, strconv.IntSize)
	if !known || err != nil || requests < 0 {
		return Rate{}, fmt.Errorf("%q is no rate: give a number an hour, such as 100, or one with its time, as 10/s, 100/m or 1000/h; 0 for no limit", text)
	}
	if requests == 0 {
		return Rate{}, nil
	}
	return Rate{Requests: int(requests), Per: per}, nil
}

// String is the rate as ParseRate takes it.
func (r Rate) String() string {
	if r.Requests == 0 {
		return "0"
	}
	return strconv.Itoa(r.Requests) + "/" + map[time.Duration]string{time.Second: "s", time.Minute: "m", time.Hour: "h"}[r.Per]
}

// limit returns next behind the limit. A request beyond it waits, before anything of it but its headers is read; if it
// would have to wait for too long, or if maxWaiting others wait, it is answered 429 at once, and refused is called. Probes
// are not counted.
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

// waitForToken returns whether the limiter lets one more through, in time.
func waitForToken(ctx context.Context, limiter *rate.Limiter, waiting *atomic.Int64, maxWaiting int) bool {
	defer waiting.Add(-1)
	if waiting.Add(1) > int64(maxWaiting) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, maxRateWait)
	defer cancel()
	return limiter.Wait(ctx) == nil // an error at once if the deadline would come first
}

// retryDelay returns after how long a request will have its turn in time.
func retryDelay(limiter *rate.Limiter) time.Duration {
	untilToken := (1 - limiter.Tokens()) / float64(limiter.Limit())
	return time.Duration(untilToken*float64(time.Second)) - maxRateWait
}

// errRateLimited says that the limit is reached, and when to send the request again.
func errRateLimited(after time.Duration) error {
	seconds := max(1, int(math.Ceil(after.Seconds())))
	return apierrors.NewTooManyRequests("more requests came in than --webhook-ratelimit-allowed lets through: send it again later", seconds)
}
