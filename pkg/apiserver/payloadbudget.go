// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/registry/deliver"
)

const (
	// budgetPatience is how long a request waits for its share of the budget. Senders give up after about ten seconds,
	// and what comes after the wait takes time too.
	budgetPatience = 3 * time.Second

	// retryAfterSeconds is what a sender is told to wait when there is more to do than can be done.
	retryAfterSeconds = 5
)

// payloadBudget bounds the bytes of all bodies that are held in memory at a time. How many requests are under way is
// bounded too, but that alone allows each of them the largest body.
type payloadBudget struct {
	free *semaphore.Weighted
	// total bytes; a body counts as no more than that, or it would wait for ever.
	total int64
	// largestPayload and largestObject are the limits that doors and objects have; a body of unknown length counts as
	// one of these.
	largestPayload, largestObject int64
	patience                      time.Duration
}

func newPayloadBudget(total, largestPayload, largestObject int64) *payloadBudget {
	return &payloadBudget{
		free: semaphore.NewWeighted(total), total: total,
		largestPayload: largestPayload, largestObject: largestObject,
		patience: budgetPatience,
	}
}

// limit lets a request with a body for our API group through once the budget has room for the body. Over the patience it
// is answered 429. It belongs inside of authorization, so that only those who may deliver can use up the budget, and
// outside of whatever reads bodies.
func (b *payloadBudget) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		info, ok := genericapirequest.RequestInfoFrom(req.Context())
		if !ok || info.APIGroup != postern.GroupName || req.ContentLength == 0 {
			next.ServeHTTP(w, req)
			return
		}
		largest := b.largestObject
		if info.Subresource != "" {
			largest = b.largestPayload
		}
		release, err := b.hold(req, largest)
		if err != nil {
			deliver.WriteError(w, err)
			return
		}
		defer release()
		next.ServeHTTP(w, req)
	})
}

// hold takes the share of a request whose body may have that many bytes. Call release once the body is worked on no more.
func (b *payloadBudget) hold(req *http.Request, largest int64) (release func(), err error) {
	weight := b.weigh(req.ContentLength, largest)
	if err := b.acquire(req.Context(), weight); err != nil {
		countRefused(causePayloadBytes)
		return nil, apierrors.NewTooManyRequests(
			"too many bytes of other requests are being worked on (--max-inflight-payload-bytes bounds them): send it again later", retryAfterSeconds)
	}
	return func() { b.free.Release(weight) }, nil
}

func (b *payloadBudget) weigh(length, largest int64) int64 {
	if length < 0 || length > largest { // chunked, or too large, which is noticed only by reading that much
		length = largest
	}
	return min(length, b.total)
}

func (b *payloadBudget) acquire(ctx context.Context, weight int64) error {
	ctx, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	return b.free.Acquire(ctx, weight)
}
