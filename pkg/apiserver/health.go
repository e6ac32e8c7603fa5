// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"net/http"
	"slices"
	"strings"

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

// withoutStorage leaves out the framework's checks of etcd. A server that is ended because its storage is away comes back
// without storage, and meanwhile answers nobody.
//
// Source: addEtcdHealthEndpoint in k8s.io/apiserver, pkg/server/options/etcd.go.
func withoutStorage(checks []healthz.HealthChecker) []healthz.HealthChecker {
	return slices.DeleteFunc(slices.Clone(checks), func(check healthz.HealthChecker) bool {
		return strings.HasPrefix(check.Name(), "etcd")
	})
}
