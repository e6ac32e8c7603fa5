// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"net/http"
	"sync/atomic"

	genericapiserver "k8s.io/apiserver/pkg/server"

	"postern.dev/postern/pkg/apiserver/filters"
)

// buildHandlerChain returns a function that builds the framework's filter chain with our filters inside and around it.
// The last filter added is the first to see a request.
func (c ExtraConfig) buildHandlerChain(
	maxObjectBytes int64, stopping *atomic.Bool,
) func(http.Handler, *genericapiserver.Config) http.Handler {
	budget := filters.NewPayloadBudget(c.MaxInflightPayloadBytes, c.NamespaceSharePercent, c.MaxPayloadBytes,
		maxObjectBytes)
	return func(handler http.Handler, generic *genericapiserver.Config) http.Handler {
		share := filters.NewNamespaceShare(c.NamespaceSharePercent, generic.MaxMutatingRequestsInFlight, budget)
		handler = filters.WithYieldingReads(handler, filters.WatchWriteTimeout)
		handler = filters.WithDryRun(handler)
		handler = filters.WithObjectLimit(handler, maxObjectBytes)
		handler = share.Limit(handler)
		handler = c.acceptance().Filter(handler)
		handler = filters.WithInFlightLimit(handler, generic) // with all filters of the framework
		handler = newCallerFilter(generic, c.Direct).wrap(handler)
		handler = withRequestHeaderReady(handler, generic.Authentication.RequestHeaderConfig, readinessTimeout)
		handler = filters.WithBodyTimeout(handler, c.PayloadTimeout)
		handler = filters.WithConnectionClose(handler, stopping)
		handler = filters.WithoutQuerySecret(handler, querySecretWarning)
		return filters.WithoutContinue(handler)
	}
}

func (c ExtraConfig) acceptance() filters.Acceptance {
	return filters.Acceptance{StorageReady: c.StorageReady, Backlog: c.Backlog}
}

// limiter returns the limits for endpoints of another server.
func (c ExtraConfig) limiter(maxRequests int) *filters.Limiter {
	return filters.NewLimiter(filters.LimiterConfig{
		SecretsSynced:           c.SecretsSynced,
		CheckStorage:            c.acceptance().CheckStorage,
		MaxRequests:             maxRequests,
		MaxInflightPayloadBytes: c.MaxInflightPayloadBytes,
		SharePercent:            c.NamespaceSharePercent,
		MaxPayloadBytes:         c.MaxPayloadBytes,
		PayloadTimeout:          c.PayloadTimeout,
	})
}

const querySecretWarning = "the secret in the query of this URL can be read in the cluster's audit log: use a " +
	"header, a signature or a ServiceAccount token if the sender can"
