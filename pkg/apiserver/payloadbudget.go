// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"postern.dev/postern/pkg/fairness"
	"postern.dev/postern/pkg/payload"
	"postern.dev/postern/pkg/registry/deliver"
)

const (
	// budgetTimeout is how long a request waits for memory, while its body arrives and once more before it is decoded.
	// Senders give up after about ten seconds, and what comes after the wait takes time too.
	budgetTimeout = 3 * time.Second

	// arrivingPart is which part of the bytes for decoding bodies that arrive have beside these.
	arrivingPart = 4

	// retryAfterSeconds is what a sender is told to wait when there is more to do than can be done.
	retryAfterSeconds = 5
)

// payloadBudget bounds the memory that all bodies which are worked on at a time may take, each with what is made of it, and
// how much of that one flow may take. How many requests are under way is bounded too, but that alone allows each of them
// the largest body.
//
// Bodies that arrive have bytes of their own, or a few clients that send slowly would take all there is. One that has arrived
// gives those back once it has what decoding takes; so none of these waits for one that arrives. The first bytes of each,
// deliver.FirstBytes, are outside of the budget: what is announced and not sent takes nothing of it, and most webhooks are no
// larger. How many requests are under way bounds those.
type payloadBudget struct {
	arriving, decoding *fairness.Slots
	// total bytes for decoding; a body that costs more is refused.
	total int64
	// largestPayload and largestObject are the limits that delivery endpoints and objects have; a body of unknown length
	// counts as one of these.
	largestPayload, largestObject int64
	timeout                       time.Duration
	notices                       *fairness.Notices
}

func newPayloadBudget(total int64, sharePercent int, largestPayload, largestObject int64) *payloadBudget {
	arriving := max(total/arrivingPart, arrivalCost(max(largestPayload, largestObject)))
	return &payloadBudget{
		arriving: fairness.NewSlots(fairness.Share{Total: arriving, Percent: sharePercent}),
		decoding: fairness.NewSlots(fairness.Share{Total: total, Percent: sharePercent}),
		total:    total, largestPayload: largestPayload, largestObject: largestObject,
		timeout: budgetTimeout, notices: fairness.NewNotices(),
	}
}

// arrivalCost returns how many bytes of memory a body of that many bytes takes until it has arrived: twice its size, if
// the buffer had to grow.
func arrivalCost(bodyBytes int64) int64 { return 2 * bodyBytes }

// PayloadCost returns the most memory, in bytes, that a payload of so many bytes takes while it is worked on: the body itself
// and what decoding allocates.
func PayloadCost(bodyBytes int64) int64 {
	return arrivalCost(bodyBytes) + payload.MaxDecodeCost(bodyBytes)
}

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

// MinPayloadBudget returns how many bytes the budget must have at least: what a payload of maxPayloadBytes may take, or an object
// without one.
func MinPayloadBudget(maxPayloadBytes int64) int64 {
	return max(PayloadCost(maxPayloadBytes), objectCost(objectBytes(0)))
}

// bodyClass says how large the bodies at an endpoint may be, and what they cost.
type bodyClass struct {
	largest int64
	cost    func(bodyBytes int64) int64
}

func (b *payloadBudget) payloads() bodyClass { return bodyClass{b.largestPayload, PayloadCost} }
func (b *payloadBudget) objects() bodyClass  { return bodyClass{b.largestObject, objectCost} }

// bodyClassFor returns what the bodies are at the endpoint of a request.
func (b *payloadBudget) bodyClassFor(info *genericapirequest.RequestInfo) bodyClass {
	if info.Subresource != "" {
		return b.payloads()
	}
	return b.objects()
}

// reserve returns a request with a body that waits for the memory that it takes: after its first bytes for what it takes until it
// has arrived, and at its end for what decoding takes. Call release once the body is worked on no more. Errors, also that of
// the body, are ready to be answered.
func (b *payloadBudget) reserve(req *http.Request, flow fairness.Flow, kind bodyClass) (bounded *http.Request, release func(), err error) {
	if req.ContentLength == 0 {
		return req, func() {}, nil
	}
	length := req.ContentLength
	switch {
	case length < 0 || length > kind.largest: // chunked, or too large, which is noticed only by reading that much
		length = kind.largest
	case kind.cost(length) > b.total:
		return nil, nil, errOverBudget()
	}
	body := &budgetedBody{ReadCloser: req.Body, ctx: req.Context(), budget: b, flow: flow, kind: kind, length: length}
	bounded = req.WithContext(req.Context())
	bounded.Body = body
	return bounded, body.giveBack, nil
}

// budgetedBody is a body that takes its memory from a budget. One goroutine at a time uses it.
type budgetedBody struct {
	io.ReadCloser
	ctx    context.Context //nolint:containedctx // a body is read without one
	budget *payloadBudget
	flow   fairness.Flow
	kind   bodyClass

	length  int64 // in bytes, or how long it may become
	read    int64 // bytes
	arrived bool
	release func() // of what it holds now; nil if that is nothing
}

// Read returns more than the first bytes of a body, and its end, once there is the memory for it. A body that is too large is
// not decoded.
func (b *budgetedBody) Read(p []byte) (int, error) {
	if b.length > deliver.FirstBytes && b.release == nil {
		if b.read >= deliver.FirstBytes {
			if err := b.acquire(b.budget.arriving, arrivalCost(b.length)); err != nil {
				return 0, err
			}
		} else {
			p = p[:min(int64(len(p)), deliver.FirstBytes-b.read)]
		}
	}
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	if !errors.Is(err, io.EOF) || b.arrived || b.read == 0 || b.read > b.kind.largest {
		return n, err
	}
	cost := b.kind.cost(b.read)
	if cost > b.budget.total {
		return n, errOverBudget()
	}
	if refused := b.acquire(b.budget.decoding, cost); refused != nil {
		return n, refused
	}
	b.arrived = true
	return n, err
}

// acquire waits for bytes in place of those that it holds.
func (b *budgetedBody) acquire(slots *fairness.Slots, bytes int64) error {
	ctx, cancel := context.WithTimeout(b.ctx, b.budget.timeout)
	defer cancel()
	release, err := slots.Acquire(ctx, b.flow, bytes)
	switch {
	case err == nil:
		b.giveBack()
		b.release = release
		return nil
	case b.ctx.Err() != nil:
		return errClientLeft()
	case errors.Is(err, fairness.ErrShare):
		countRefused(causeNamespaceRequests)
		b.budget.notices.Refused(b.flow, causeNamespaceRequests)
		return errOverShare("the bodies of requests to this namespace take the memory that it may take", "--max-inflight-payload-bytes")
	}
	countRefused(causePayloadBytes)
	return apierrors.NewTooManyRequests(
		"the bodies of other requests take the memory that there is (--max-inflight-payload-bytes bounds it): send it again later",
		retryAfterSeconds)
}

// giveBack gives back what it holds.
func (b *budgetedBody) giveBack() {
	if b.release != nil {
		b.release()
	}
}

func errOverBudget() error {
	return apierrors.NewRequestEntityTooLargeError("to decode it may take more memory than --max-inflight-payload-bytes allows: send less at a time")
}
