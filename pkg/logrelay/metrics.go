// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package logrelay

import (
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

var linesDropped = metrics.NewCounter(&metrics.CounterOpts{
	Namespace: "postern", Name: "log_lines_dropped_total", StabilityLevel: metrics.BETA,
	Help: "Lines of the log, or of an audit log at standard output, that were dropped because their reader stalled.",
})

// RegisterMetrics adds the metrics of this package to /metrics.
func RegisterMetrics() { legacyregistry.MustRegister(linesDropped) }
