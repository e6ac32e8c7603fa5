// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"net/http"
	"time"

	"k8s.io/client-go/tools/cache"

	"postern.dev/postern/pkg/fairness"
)

// Limiter applies the limits of the handler chain to an endpoint of another server. Its limits are separate but of the
// same size: no kube-apiserver throttles unauthenticated senders there, and they must not use up the API's limits. Its
// errors are API statuses. It is safe for concurrent use.
type Limiter struct {
	secretsSynced cache.InformerSynced
	checkStorage  func() error
	share         *NamespaceShare
	bodyTimeout   time.Duration
}

// LimiterConfig configures a Limiter.
type LimiterConfig struct {
	// SecretsSynced reports whether all webhook secrets are loaded.
	SecretsSynced cache.InformerSynced
	// CheckStorage returns the response while the storage is unavailable.
	CheckStorage func() error
	// MaxRequests and MaxInflightPayloadBytes bound the requests in flight and the memory of their bodies.
	MaxRequests             int
	MaxInflightPayloadBytes int64
	// SharePercent is the part of each limit that one namespace may use.
	SharePercent int
	// MaxPayloadBytes bounds a payload, and PayloadTimeout how long it may take to arrive.
	MaxPayloadBytes int64
	PayloadTimeout  time.Duration
}

// NewLimiter returns a Limiter that nothing uses yet.
func NewLimiter(c LimiterConfig) *Limiter {
	budget := NewPayloadBudget(c.MaxInflightPayloadBytes, c.SharePercent, c.MaxPayloadBytes, c.MaxPayloadBytes)
	return &Limiter{
		secretsSynced: c.SecretsSynced, checkStorage: c.CheckStorage,
		share: NewNamespaceShare(c.SharePercent, c.MaxRequests, budget), bodyTimeout: c.PayloadTimeout,
	}
}

// Begin reserves a request of an unauthenticated sender that delivers to a namespace. It returns an error if nothing
// can be stored, or if the endpoint's --max-mutating-requests-inflight or the namespace's share of it are used up.
// Requests without a namespace in which they may deliver (namespace "") share one flow. Begin does not check whether
// the namespace accepts deliveries, because the response would reveal that. Call end when the request is answered.
func (l *Limiter) Begin(namespace string) (end func(), err error) {
	if !l.secretsSynced() {
		return nil, ErrUnavailable("the webhook secrets are not loaded yet: send it again later")
	}
	if err := l.checkStorage(); err != nil {
		return nil, err
	}
	return l.share.begin(anonymousFlow(namespace))
}

func anonymousFlow(namespace string) fairness.Flow {
	return fairness.Flow{Namespace: namespace, Anonymous: true}
}

// CountOverRate counts a request refused by the rate limit before Begin.
func (l *Limiter) CountOverRate() { CountRefused(causeRate) }

// AcquireBody waits for memory and returns the request with a bounded body. Call release when the request is answered.
func (l *Limiter) AcquireBody(
	w http.ResponseWriter, req *http.Request, namespace string,
) (bounded *http.Request, release func(), err error) {
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
