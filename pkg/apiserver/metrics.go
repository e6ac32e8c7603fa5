// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

// Causes for which a request is turned away before anyone looks at what it holds. The sender may send it again.
const (
	causeRequestsInFlight = "RequestsInFlight" // 429: --max-requests-inflight, --max-mutating-requests-inflight
	causePayloadBytes     = "PayloadBytes"     // 429: --max-inflight-payload-bytes
	causeBacklog          = "Backlog"          // 429: --max-deliveries are pending
	causeStorage          = "Storage"          // 503: nothing can be stored
	causePayloadTimeout   = "PayloadTimeout"   // 504: --payload-timeout
	causeRate             = "Rate"             // 429: --webhook-ratelimit-allowed
)

var refusedRequests = metrics.NewCounterVec(&metrics.CounterOpts{
	Namespace: "postern", Name: "refused_requests_total", StabilityLevel: metrics.BETA,
	Help: "Requests that were answered 429, 503 or 504 before anyone looked at what they hold, by cause.",
}, []string{"cause"})

// RegisterMetrics makes /metrics show the metrics of this package. Until then they count nothing.
func RegisterMetrics() {
	legacyregistry.MustRegister(refusedRequests)
	// The first increase of a series that was not there before is none to Prometheus.
	for _, cause := range []string{causeRequestsInFlight, causePayloadBytes, causeBacklog, causeStorage, causePayloadTimeout, causeRate} {
		refusedRequests.WithLabelValues(cause).Add(0)
	}
}

func countRefused(cause string) { refusedRequests.WithLabelValues(cause).Inc() }
