// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/cache"
)

// Guard does for a door that another server serves what the handler chain does for those of the API, by limits of its own
// that are as large: no kube-apiserver keeps strangers from using them up, and they must not use up those of the API. Its
// errors are ready to be answered. It is safe for concurrent use.
type Guard struct {
	secretsSynced cache.InformerSynced
	accepting     func() error
	requests      *semaphore.Weighted
	budget        *payloadBudget
	bodyTimeout   time.Duration
}

func newGuard(c ExtraConfig, maxRequests int) *Guard {
	return &Guard{
		secretsSynced: c.SecretsSynced, accepting: c.accepting,
		requests:    semaphore.NewWeighted(int64(maxRequests)),
		budget:      newPayloadBudget(c.MaxInflightPayloadBytes, c.MaxPayloadBytes, c.MaxPayloadBytes),
		bodyTimeout: c.PayloadTimeout,
	}
}

// Begin lets a request begin that would make a delivery, unless none can be taken just now or as many as
// --max-mutating-requests-inflight allows are under way by this door. Call end when it is answered.
func (g *Guard) Begin() (end func(), err error) {
	if !g.secretsSynced() {
		return nil, unavailable("it is not known yet which secrets count: send it again later")
	}
	if err := g.accepting(); err != nil {
		return nil, err
	}
	if !g.requests.TryAcquire(1) {
		countRefused(causeRequestsInFlight)
		return nil, apierrors.NewTooManyRequests(
			"too many requests are being worked on (--max-mutating-requests-inflight bounds them): send it again later", retryAfterSeconds)
	}
	return func() { g.requests.Release(1) }, nil
}

// CountOverRate counts a request that came too fast to begin.
func (g *Guard) CountOverRate() { countRefused(causeRate) }

// Hold waits until there is room for the body of a request, and returns the request with a body that must arrive in time.
// Call release when it is answered.
func (g *Guard) Hold(w http.ResponseWriter, req *http.Request) (bounded *http.Request, release func(), err error) {
	giveBack, err := g.budget.hold(req, g.budget.largestPayload)
	if err != nil {
		return nil, nil, err
	}
	bounded, done, err := boundBody(w, req, g.bodyTimeout)
	if err != nil {
		giveBack()
		return nil, nil, err
	}
	return bounded, func() {
		done()
		giveBack()
	}, nil
}
