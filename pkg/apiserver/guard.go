// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"net/http"
	"time"

	"k8s.io/client-go/tools/cache"

	"postern.dev/postern/pkg/fairness"
)

// Guard does for an endpoint that another server serves what the handler chain does for those of the API, by limits of its own
// that are as large: no kube-apiserver keeps unauthenticated senders from using them up, and they must not use up those of the
// API. Its errors are ready to be answered. It is safe for concurrent use.
type Guard struct {
	secretsSynced cache.InformerSynced
	storageReady  func() error
	share         *namespaceShare
	bodyTimeout   time.Duration
}

func newGuard(c ExtraConfig, maxRequests int) *Guard {
	budget := newPayloadBudget(c.MaxInflightPayloadBytes, c.NamespaceSharePercent, c.MaxPayloadBytes, c.MaxPayloadBytes)
	return &Guard{
		secretsSynced: c.SecretsSynced, storageReady: c.storageReady,
		share:       newNamespaceShare(c.NamespaceSharePercent, maxRequests, budget),
		bodyTimeout: c.PayloadTimeout,
	}
}

// Begin lets a request of an unauthenticated sender begin that would make a delivery in a namespace, unless none can be stored
// now, or as many as --max-mutating-requests-inflight allows, or the namespace's share of them, are under way by this endpoint.
// Requests that are for no namespace in which they may deliver, an empty one, have a share together. Whether the namespace
// takes deliveries is asked later, since the answer tells of it. Call end when the request is answered.
func (g *Guard) Begin(namespace string) (end func(), err error) {
	if !g.secretsSynced() {
		return nil, unavailable("it is not known yet which secrets count: send it again later")
	}
	if err := g.storageReady(); err != nil {
		return nil, err
	}
	return g.share.begin(anonymousFlow(namespace))
}

func anonymousFlow(namespace string) fairness.Flow {
	return fairness.Flow{Namespace: namespace, Anonymous: true}
}

// CountOverRate counts a request that came too fast to begin.
func (g *Guard) CountOverRate() { countRefused(causeRate) }

// Hold waits until there is room for the body of a request, and returns the request with a body that must arrive in time.
// Call release when it is answered.
func (g *Guard) Hold(w http.ResponseWriter, req *http.Request, namespace string) (bounded *http.Request, release func(), err error) {
	timed, done, err := boundBody(w, req, g.bodyTimeout)
	if err != nil {
		return nil, nil, err
	}
	bounded, giveBack, err := g.share.budget.hold(timed, anonymousFlow(namespace), g.share.budget.payloads())
	if err != nil {
		done()
		return nil, nil, err
	}
	return bounded, func() {
		giveBack()
		done()
	}, nil
}
