// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

var (
	databaseBytes = metrics.NewGauge(&metrics.GaugeOpts{
		Namespace: "postern", Subsystem: "etcd", Name: "database_bytes", StabilityLevel: metrics.BETA,
		Help: "Size of the embedded etcd's database, which its quota bounds.",
	})
	databaseInUseBytes = metrics.NewGauge(&metrics.GaugeOpts{
		Namespace: "postern", Subsystem: "etcd", Name: "database_in_use_bytes", StabilityLevel: metrics.BETA,
		Help: "Bytes of the embedded etcd's database that are in use.",
	})
	quotaBytes = metrics.NewGauge(&metrics.GaugeOpts{
		Namespace: "postern", Subsystem: "etcd", Name: "quota_bytes", StabilityLevel: metrics.BETA,
		Help: "Maximum size of the embedded etcd's database.",
	})
	writable = metrics.NewGauge(&metrics.GaugeOpts{
		Namespace: "postern", Subsystem: "etcd", Name: "writable", StabilityLevel: metrics.BETA,
		Help: "1 while the embedded etcd can store data, 0 while its disk is full or read-only, its quota is " +
			"exceeded, or it has failed.",
	})
)

// RegisterMetrics registers the metrics of this package. Before, they record nothing.
func RegisterMetrics() {
	legacyregistry.MustRegister(databaseBytes, databaseInUseBytes, quotaBytes, writable)
}

// setWritable sets the metric writable.
func setWritable(ready bool) {
	value := 0.0
	if ready {
		value = 1
	}
	writable.Set(value)
}
