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
	"postern.dev/postern/pkg/payload"
	"postern.dev/postern/pkg/registry/deliver"
)

const (
	// budgetPatience is how long a request waits for its share of the budget. Senders give up after about ten seconds,
	// and what comes after the wait takes time too.
	budgetPatience = 3 * time.Second

	// retryAfterSeconds is what a sender is told to wait when there is more to do than can be done.
	retryAfterSeconds = 5
)

// payloadBudget bounds the memory that all bodies which are worked on at a time may take, each with what is made of it. How
// many requests are under way is bounded too, but that alone allows each of them the largest body.
type payloadBudget struct {
	free *semaphore.Weighted
	// total bytes; a body costs no more than that, or it would wait for ever.
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

// PayloadCost returns the most memory, in bytes, that a payload of so many bytes takes while it is worked on: the body itself,
// twice if it had to grow, and what decoding allocates.
func PayloadCost(bodyBytes int64) int64 { return 2*bodyBytes + payload.MaxDecodeCost(bodyBytes) }

// An object takes, beside what its payload does, the body as it came, a copy without the payload, and what the framework
// makes of that: two copies of each text, and of maxObjectParts names and values what the most costly of them cost.
const (
	objectCostPerByte = 4
	basicObjectCost   = 2 << 20
)

// objectCost returns the most memory, in bytes, that an object of so many bytes takes while it is worked on.
func objectCost(bodyBytes int64) int64 {
	return PayloadCost(bodyBytes) + basicObjectCost + objectCostPerByte*bodyBytes
}

// limit lets a request with a body for our API group through once the budget has room for what the body may cost. Over the
// patience it is answered 429. It belongs inside of authorization, so that only those who may deliver can use up the budget, and
// outside of whatever reads bodies.
func (b *payloadBudget) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		info, ok := genericapirequest.RequestInfoFrom(req.Context())
		if !ok || info.APIGroup != postern.GroupName || req.ContentLength == 0 {
			next.ServeHTTP(w, req)
			return
		}
		release, err := b.hold(req, b.bodiesAt(info))
		if err != nil {
			deliver.WriteError(w, err)
			return
		}
		defer release()
		next.ServeHTTP(w, req)
	})
}

// bodies says how large the bodies at an endpoint may be, and what they cost.
type bodies struct {
	largest int64
	cost    func(bodyBytes int64) int64
}

func (b *payloadBudget) payloads() bodies { return bodies{b.largestPayload, PayloadCost} }
func (b *payloadBudget) objects() bodies  { return bodies{b.largestObject, objectCost} }

// bodiesAt returns what the bodies are at the endpoint of a request.
func (b *payloadBudget) bodiesAt(info *genericapirequest.RequestInfo) bodies {
	if info.Subresource != "" {
		return b.payloads()
	}
	return b.objects()
}

// weightOf returns the most memory, in bytes, that the body of a request may take; 0 if there is none.
func (b *payloadBudget) weightOf(req *http.Request, info *genericapirequest.RequestInfo) int64 {
	if req.ContentLength == 0 {
		return 0
	}
	return b.weigh(req.ContentLength, b.bodiesAt(info))
}

// hold takes the share of a request. Call release once the body is worked on no more.
func (b *payloadBudget) hold(req *http.Request, kind bodies) (release func(), err error) {
	weight := b.weigh(req.ContentLength, kind)
	if err := b.acquire(req.Context(), weight); err != nil {
		countRefused(causePayloadBytes)
		return nil, apierrors.NewTooManyRequests(
			"other requests take the memory that there is for bodies (--max-inflight-payload-bytes bounds it): send it again later", retryAfterSeconds)
	}
	return func() { b.free.Release(weight) }, nil
}

func (b *payloadBudget) weigh(length int64, kind bodies) int64 {
	if length < 0 || length > kind.largest { // chunked, or too large, which is noticed only by reading that much
		length = kind.largest
	}
	return min(kind.cost(length), b.total)
}

func (b *payloadBudget) acquire(ctx context.Context, weight int64) error {
	ctx, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	return b.free.Acquire(ctx, weight)
}
