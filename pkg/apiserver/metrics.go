// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"

	"postern.dev/postern/pkg/controller"
)

// Causes for which a request is turned away before anyone looks at what it holds. Of those with 429, 503 and 504 the sender
// may send it again.
const (
	causeRequestsInFlight = "RequestsInFlight" // 429: --max-requests-inflight, --max-mutating-requests-inflight
	causePayloadBytes     = "PayloadBytes"     // 429: --max-inflight-payload-bytes
	causeStorage          = "Storage"          // 503: nothing can be stored
	causePayloadTimeout   = "PayloadTimeout"   // 504: --payload-timeout
	causeRate             = "Rate"             // 429: --webhook-ratelimit-allowed
	causeDirect           = "Direct"           // 401, 403: has not come through the kube-apiserver, and is not served therefore
	causeDirectRate       = "DirectRate"       // 429: --direct-requests-per-second

	// 429: --max-namespace-share-percent, beside those of the controller package
	causeNamespaceRequests = "NamespaceRequests" // of what may be under way
	causeNamespaceWork     = "NamespaceWork"     // of the processors' time
)

var refusedRequests = metrics.NewCounterVec(&metrics.CounterOpts{
	Namespace: "postern", Name: "refused_requests_total", StabilityLevel: metrics.BETA,
	Help: "Requests that were refused (401, 403, 429, 503 or 504) before anyone looked at what they hold, by cause.",
}, []string{"cause"})

// RegisterMetrics makes /metrics show the metrics of this package. Until then they count nothing.
func RegisterMetrics() {
	legacyregistry.MustRegister(refusedRequests)
	// The first increase of a series that was not there before is none to Prometheus.
	for _, cause := range []string{
		causeRequestsInFlight, causePayloadBytes, causeStorage, causePayloadTimeout, causeRate, causeDirect, causeDirectRate,
		causeNamespaceRequests, causeNamespaceWork, controller.CausePending, controller.CauseNamespacePending, controller.CauseNamespaceBytes,
	} {
		refusedRequests.WithLabelValues(cause).Add(0)
	}
}

func countRefused(cause string) { refusedRequests.WithLabelValues(cause).Inc() }
