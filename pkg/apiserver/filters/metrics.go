// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"

	"postern.dev/postern/pkg/controller"
)

// Causes for refusing a request before its content is processed. After 429, 503 and 504 the sender may retry.
const (
	causeRequestsInFlight = "RequestsInFlight" // 429: --max-requests-inflight, --max-mutating-requests-inflight
	causePayloadBytes     = "PayloadBytes"     // 429: --max-inflight-payload-bytes
	causeStorage          = "Storage"          // 503: the storage is unavailable
	causePayloadTimeout   = "PayloadTimeout"   // 504: --payload-timeout
	causeRate             = "Rate"             // 429: --webhook-ratelimit-allowed
	CauseDirect           = "Direct"           // 401, 403: a direct caller that is not served
	CauseDirectRate       = "DirectRate"       // 429: --direct-requests-per-second

	// 429: --max-namespace-share-percent, in addition to the causes of the controller package
	causeNamespaceRequests = "NamespaceRequests" // share of requests in flight
	causeNamespaceWork     = "NamespaceWork"     // share of the processors
)

var refusedRequests = metrics.NewCounterVec(&metrics.CounterOpts{
	Namespace: "postern", Name: "refused_requests_total", StabilityLevel: metrics.BETA,
	Help: "Requests that were refused (401, 403, 429, 503 or 504) before their content was processed, by cause.",
}, []string{"cause"})

// RegisterMetrics registers the metrics of this package. They count nothing before.
func RegisterMetrics() {
	legacyregistry.MustRegister(refusedRequests)
	// Initialize to 0: increase() in Prometheus ignores the first sample of a series.
	for _, cause := range []string{
		causeRequestsInFlight, causePayloadBytes, causeStorage, causePayloadTimeout, causeRate, CauseDirect,
		CauseDirectRate, causeNamespaceRequests, causeNamespaceWork,
		controller.CausePending, controller.CauseNamespacePending, controller.CauseNamespaceBytes,
	} {
		refusedRequests.WithLabelValues(cause).Add(0)
	}
}

// CountRefused counts a refused request.
func CountRefused(cause string) { refusedRequests.WithLabelValues(cause).Inc() }
