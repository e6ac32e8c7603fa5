// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"crypto/tls"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	// readinessInterval is the interval of the balancer's probes.
	readinessInterval = 100 * time.Millisecond
	readinessTimeout  = time.Second
)

// watch keeps ready current until ctx ends.
func (b *backend) watch(ctx context.Context, ready func(ctx context.Context, address string) bool) {
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, readinessTimeout)
		defer cancel()
		b.ready.Store(ready(ctx, b.address))
	}, readinessInterval)
}

// newReadiness returns a probe of Postern's own /readyz. Like a kubelet, it uses a new connection each time and does
// not verify the certificate.
func newReadiness() func(ctx context.Context, address string) bool {
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12},
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
	}
}
