// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package filters

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
)

const (
	// budgetTimeout is how long a request waits for memory while its body arrives, and again before it is decoded.
	// Senders time out after about ten seconds, and processing after the wait also takes time.
	budgetTimeout = 3 * time.Second

	// Arriving bodies have 1/arrivingDivisor of the bytes for decoding, in addition to these.
	arrivingDivisor = 4
)

// PayloadBudget bounds the memory of all bodies in flight, with what is decoded from them, and the part of it that one
// flow may use. Bounding the number of requests alone would allow each of them the largest body.
//
// Arriving bodies have a separate budget, otherwise a few slow clients would use up everything. An arrived body
// releases it once it has memory for decoding, so decoding never waits for arriving bodies. The first bytes of each
// body, firstBytes, are not budgeted but bounded by the number of requests: a client that announces a body and does
// not send it uses no budget, and most webhooks are not larger.
type PayloadBudget struct {
	arriving, decoding *fairness.Slots
	// total bytes for decoding; larger bodies are rejected.
	total int64
	// largestPayload and largestObject are the size limits of delivery endpoints and of objects. A body of unknown
	// length counts as the largest.
	largestPayload, largestObject int64
	timeout                       time.Duration
	notices                       *fairness.Notices
}

// NewPayloadBudget returns a budget of total bytes for payloads and objects of these sizes, of which one flow may use
// sharePercent.
func NewPayloadBudget(total int64, sharePercent int, largestPayload, largestObject int64) *PayloadBudget {
	arriving := max(total/arrivingDivisor, arrivalCost(max(largestPayload, largestObject)))
	return &PayloadBudget{
		arriving: fairness.NewSlots(fairness.Share{Total: arriving, Percent: sharePercent}),
		decoding: fairness.NewSlots(fairness.Share{Total: total, Percent: sharePercent}),
		total:    total, largestPayload: largestPayload, largestObject: largestObject,
		timeout: budgetTimeout, notices: fairness.NewNotices(),
	}
}

// arrivalCost returns the memory, in bytes, of a body until it has arrived: twice its size, if the buffer had to grow.
func arrivalCost(bodyBytes int64) int64 { return 2 * bodyBytes }

// PayloadCost returns the most memory, in bytes, that a payload takes: its body and what decoding allocates.
func PayloadCost(bodyBytes int64) int64 {
	return arrivalCost(bodyBytes) + payload.MaxDecodeCost(bodyBytes)
}

// In addition to its payload, an object takes its original body, a copy without the payload, and what the framework
// decodes: two copies of each string, and maxObjectParts times the most expensive name or value.
const (
	objectCostPerByte = 4
	basicObjectCost   = 2 << 20
)

// objectCost returns the most memory, in bytes, that an object of that many bytes takes while it is processed.
func objectCost(bodyBytes int64) int64 {
	return PayloadCost(bodyBytes) + basicObjectCost + objectCostPerByte*bodyBytes
}

// recordCost is the memory, in bytes, that the framework takes to change a record of validation.MaxRecordBytes: it
// decodes and converts it, and tracks field owners.
const recordCost = 8 << 20

// updateCost returns the most memory, in bytes, that an update or patch of that many bytes takes.
func updateCost(bodyBytes int64) int64 { return objectCost(bodyBytes) + recordCost }

// MinPayloadBudget returns the bytes needed for a payload of maxPayloadBytes, or for the update of an object without a
// payload.
func MinPayloadBudget(maxPayloadBytes int64) int64 {
	return max(PayloadCost(maxPayloadBytes), updateCost(ObjectBytes(0)))
}

// ObjectBytes returns the size limit of an object with a base64 payload of that size and some metadata.
func ObjectBytes(payloadBytes int64) int64 {
	const rest = 64 << 10
	return payloadBytes/3*4 + rest
}

// bodyClass is the size limit and the memory cost of bodies at an endpoint.
type bodyClass struct {
	largest int64
	cost    func(bodyBytes int64) int64
}

func (b *PayloadBudget) payloads() bodyClass { return bodyClass{b.largestPayload, PayloadCost} }
func (b *PayloadBudget) objects() bodyClass  { return bodyClass{b.largestObject, objectCost} }
func (b *PayloadBudget) updates() bodyClass  { return bodyClass{b.largestObject, updateCost} }

// bodyClassFor returns the class of bodies at the endpoint of a request.
func (b *PayloadBudget) bodyClassFor(info *genericapirequest.RequestInfo) bodyClass {
	switch {
	case info.Subresource != "":
		return b.payloads()
	case info.Verb == "update" || info.Verb == "patch":
		return b.updates()
	}
	return b.objects()
}

// reserve returns the request with a body that waits for its memory: for arriving after its first bytes, and for
// decoding at its end. Call release when the body is no longer used. Errors, also of the body, are API statuses.
func (b *PayloadBudget) reserve(
	req *http.Request, flow fairness.Flow, kind bodyClass,
) (bounded *http.Request, release func(), err error) {
	if req.ContentLength == 0 {
		return req, func() {}, nil
	}
	length := req.ContentLength
	switch {
	case length < 0 || length > kind.largest: // chunked, or too large, which reading will find out
		length = kind.largest
	case kind.cost(length) > b.total:
		return nil, nil, errOverBudget()
	}
	body := &budgetedBody{ReadCloser: req.Body, ctx: req.Context(), budget: b, flow: flow, kind: kind, length: length}
	bounded = req.WithContext(req.Context())
	bounded.Body = body
	return bounded, body.releaseMemory, nil
}

// budgetedBody is a body that acquires its memory from a budget. It is not safe for concurrent use.
type budgetedBody struct {
	io.ReadCloser
	ctx    context.Context //nolint:containedctx // Read has no context parameter
	budget *PayloadBudget
	flow   fairness.Flow
	kind   bodyClass

	length  int64 // bytes, at most
	read    int64 // bytes
	arrived bool
	release func() // nil if no memory is held
}

// Read waits for memory before it returns more than the first bytes, and before it returns io.EOF. It acquires no
// memory to decode a body that is too large.
func (b *budgetedBody) Read(p []byte) (int, error) {
	if b.length > firstBytes && b.release == nil {
		if b.read >= firstBytes {
			if err := b.acquire(b.budget.arriving, arrivalCost(b.length)); err != nil {
				return 0, err
			}
		} else {
			p = p[:min(int64(len(p)), firstBytes-b.read)]
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

// acquire waits for bytes, then releases those held before.
func (b *budgetedBody) acquire(slots *fairness.Slots, bytes int64) error {
	ctx, cancel := context.WithTimeout(b.ctx, b.budget.timeout)
	defer cancel()
	release, err := slots.Acquire(ctx, b.flow, bytes)
	switch {
	case err == nil:
		b.releaseMemory()
		b.release = release
		return nil
	case b.ctx.Err() != nil:
		return errRequestEnded()
	case errors.Is(err, fairness.ErrShare):
		CountRefused(causeNamespaceRequests)
		b.budget.notices.Refused(b.flow, causeNamespaceRequests)
		return errOverShare("too many bytes of request bodies of this namespace are in flight",
			"--max-inflight-payload-bytes")
	}
	CountRefused(causePayloadBytes)
	return apierrors.NewTooManyRequests(
		"request bodies in flight use all of --max-inflight-payload-bytes: send it again later",
		RetryAfterSeconds)
}

func (b *budgetedBody) releaseMemory() {
	if b.release != nil {
		b.release()
	}
}

func errOverBudget() error {
	return apierrors.NewRequestEntityTooLargeError(
		"decoding may take more memory than --max-inflight-payload-bytes allows: send less at a time")
}
