// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

var (
	databaseBytes = metrics.NewGauge(&metrics.GaugeOpts{
		Namespace: "postern", Subsystem: "etcd", Name: "database_bytes", StabilityLevel: metrics.ALPHA,
		Help: "Size of the embedded etcd's database, which its quota bounds.",
	})
	databaseInUseBytes = metrics.NewGauge(&metrics.GaugeOpts{
		Namespace: "postern", Subsystem: "etcd", Name: "database_in_use_bytes", StabilityLevel: metrics.ALPHA,
		Help: "How much of the embedded etcd's database is in use.",
	})
)

// RegisterMetrics makes /metrics show the metrics of this package. Until then they count nothing.
func RegisterMetrics() {
	legacyregistry.MustRegister(databaseBytes, databaseInUseBytes)
}
