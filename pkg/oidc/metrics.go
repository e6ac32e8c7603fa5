// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

// libraryMetrics have an issuer as label, which any owner of a namespace can choose.
var libraryMetrics = []string{
	"apiserver_authentication_jwt_authenticator_latency_seconds",
	"apiserver_authentication_jwt_authenticator_jwks_fetch_last_timestamp_seconds",
}

var fetches = metrics.NewCounterVec(&metrics.CounterOpts{
	Namespace: "postern", Name: "oidc_key_fetches_total", StabilityLevel: metrics.BETA,
	Help: "Fetches of the signing keys of OIDC issuers, by result.",
}, []string{"result"})

// RegisterMetrics adds the metrics of this package to /metrics.
func RegisterMetrics() { legacyregistry.MustRegister(fetches) }

func recordFetch(err error) {
	result := "success"
	if err != nil {
		result = "error"
	}
	fetches.WithLabelValues(result).Inc()
}
