// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"crypto/tls"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	certutil "k8s.io/client-go/util/cert"
)

const (
	// readinessInterval is how often a load balancer looks at each backend.
	readinessInterval = 100 * time.Millisecond
	readinessTimeout  = time.Second
)

// watch keeps ready as it is, until ctx ends.
func (b *backend) watch(ctx context.Context, ready func(ctx context.Context, address string) bool) {
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, readinessTimeout)
		defer cancel()
		b.ready.Store(ready(ctx, b.address))
	}, readinessInterval)
}

// readinessOf returns a check of a Postern's own /readyz, over a new connection each time, as a kubelet does.
func readinessOf(caFile string) (func(ctx context.Context, address string) bool, error) {
	roots, err := certutil.NewPool(caFile)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots, ServerName: posternServerName, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true,
	}}
	return func(ctx context.Context, address string) bool {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/readyz", nil)
		if err != nil {
			return false
		}
		resp, err := client.Do(req)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, nil
}
