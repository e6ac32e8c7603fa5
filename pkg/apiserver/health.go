// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"net/http"

	"k8s.io/apiserver/pkg/server/healthz"
)

// cachesCheck keeps the server unready until secrets and targets can be looked up: until then a right secret would be
// refused.
func cachesCheck(ready func() error) healthz.HealthChecker {
	return healthz.NamedCheck("caches", func(*http.Request) error { return ready() })
}

// firstWatchCheck keeps the server unready until the watch cache is filled. The kube-apiserver watches what is
// aggregated as soon as it is available, and a watch that comes too early fails.
func firstWatchCheck(ready func() error) healthz.HealthChecker {
	return healthz.NamedCheck("first-watch", func(*http.Request) error { return ready() })
}
