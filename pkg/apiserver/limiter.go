// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"net/http"
	"time"

	"k8s.io/client-go/tools/cache"

	"postern.dev/postern/pkg/fairness"
)

// Limiter does for an endpoint that another server serves what the handler chain does for those of the API, by limits of its own
// that are as large: no kube-apiserver keeps unauthenticated senders from using them up, and they must not use up those of the
// API. Its errors are ready to be answered. It is safe for concurrent use.
type Limiter struct {
	secretsSynced cache.InformerSynced
	storageReady  func() error
	share         *namespaceShare
	bodyTimeout   time.Duration
}

func newLimiter(c ExtraConfig, maxRequests int) *Limiter {
	budget := newPayloadBudget(c.MaxInflightPayloadBytes, c.NamespaceSharePercent, c.MaxPayloadBytes, c.MaxPayloadBytes)
	return &Limiter{
		secretsSynced: c.SecretsSynced, storageReady: c.storageReady,
		share:       newNamespaceShare(c.NamespaceSharePercent, maxRequests, budget),
		bodyTimeout: c.PayloadTimeout,
	}
}

// Begin lets a request of an unauthenticated sender begin that would make a delivery in a namespace, unless none can be stored
// now, or as many as --max-mutating-requests-inflight allows, or the namespace's share of them, are under way by this endpoint.
// Requests that are for no namespace in which they may deliver, an empty one, have a share together. Whether the namespace
// takes deliveries is asked later, since the answer tells of it. Call end when the request is answered.
func (l *Limiter) Begin(namespace string) (end func(), err error) {
	if !l.secretsSynced() {
		return nil, errUnavailable("it is not known yet which secrets count: send it again later")
	}
	if err := l.storageReady(); err != nil {
		return nil, err
	}
	return l.share.begin(anonymousFlow(namespace))
}

func anonymousFlow(namespace string) fairness.Flow {
	return fairness.Flow{Namespace: namespace, Anonymous: true}
}

// CountOverRate counts a request that came too fast to begin.
func (l *Limiter) CountOverRate() { countRefused(causeRate) }

// AcquireBody waits until there is room for the body of a request, and returns the request with a body that must arrive in time.
// Call release when it is answered.
func (l *Limiter) AcquireBody(w http.ResponseWriter, req *http.Request, namespace string) (bounded *http.Request, release func(), err error) {
	timed, done, err := limitBodyTime(w, req, l.bodyTimeout)
	if err != nil {
		return nil, nil, err
	}
	bounded, releaseAll, err := l.share.budget.reserve(timed, anonymousFlow(namespace), l.share.budget.payloads())
	if err != nil {
		done()
		return nil, nil, err
	}
	return bounded, func() {
		releaseAll()
		done()
	}, nil
}
