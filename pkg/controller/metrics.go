// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

var storedDeliveries = metrics.NewGauge(&metrics.GaugeOpts{
	Namespace: "postern", Name: "stored_deliveries", StabilityLevel: metrics.ALPHA,
	Help: "Deliveries that are stored, by whichever replica.",
})

// RegisterMetrics makes /metrics show the metrics of this package. Until then they count nothing.
func RegisterMetrics() {
	legacyregistry.MustRegister(storedDeliveries)
}
