// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

var rateLimited = metrics.NewCounter(&metrics.CounterOpts{
	Namespace: "postern", Subsystem: "receiver", Name: "rate_limited_requests_total", StabilityLevel: metrics.BETA,
	Help: "Requests to the classic receiver that were answered 429, since --webhook-ratelimit-allowed was reached.",
})

// RegisterMetrics makes /metrics show the metrics of this package. Until then they count nothing.
func RegisterMetrics() { legacyregistry.MustRegister(rateLimited) }
