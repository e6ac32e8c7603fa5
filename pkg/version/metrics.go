// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package version

import (
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

var buildInfo = metrics.NewGaugeVec(&metrics.GaugeOpts{
	Namespace: "postern", Name: "build_info", StabilityLevel: metrics.ALPHA,
	Help: "Always 1; the labels say which Postern this is.",
}, []string{"version", "revision", "go_version"})

// RegisterMetrics makes /metrics show the metrics of this package.
func RegisterMetrics() {
	legacyregistry.MustRegister(buildInfo)
	info := Get()
	buildInfo.WithLabelValues(info.Version, info.Revision, info.GoVersion).Set(1)
}
