// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"net/url"

	"k8s.io/client-go/rest"
)

// ServerURL returns the address of the kube-apiserver without the user and the password that it may have, such as for a
// proxy before it: addresses are printed, and given to others.
func ServerURL(config *rest.Config) (*url.URL, error) {
	server, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("could not read the address of the kube-apiserver: %w", err)
	}
	server.User = nil
	return server, nil
}
