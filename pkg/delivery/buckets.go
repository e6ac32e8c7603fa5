// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"maps"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// buckets are token buckets, one for each namespace, so that none takes the tokens of another. They are safe for
// concurrent use.
type buckets struct {
	perSecond rate.Limit
	burst     int

	mu sync.Mutex
	// byNamespace has the buckets that may not be full. Those that are full again are dropped when another is added.
	byNamespace map[string]*rate.Limiter
}

func newBuckets(perSecond rate.Limit, burst int) *buckets {
	return &buckets{perSecond: perSecond, burst: burst, byNamespace: map[string]*rate.Limiter{}}
}

// take takes a token of a namespace, and reports whether there was one.
func (b *buckets) take(namespace string, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	bucket, found := b.byNamespace[namespace]
	if !found {
		maps.DeleteFunc(b.byNamespace, func(_ string, other *rate.Limiter) bool {
			return other.TokensAt(now) >= float64(b.burst)
		})
		bucket = rate.NewLimiter(b.perSecond, b.burst)
		b.byNamespace[namespace] = bucket
	}
	return bucket.AllowN(now, 1)
}

// tokens returns how many tokens a namespace has.
func (b *buckets) tokens(namespace string, now time.Time) float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if bucket, found := b.byNamespace[namespace]; found {
		return bucket.TokensAt(now)
	}
	return float64(b.burst)
}
