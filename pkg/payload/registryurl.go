// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import "strings"

// pulledFrom returns the host and the repository under which clusters pull an image, for senders that tell them not at
// all, or not reliably: what the operator wrote into the webhook's URL wins over what the payload says.
func (m message) pulledFrom(host, repository string) (pullHost, pullRepository string, err error) {
	if m.registryURL == "" {
		return host, repository, nil
	}
	host, path := splitAddress(m.registryURL)
	if !isRegistryAddress(host, path) {
		return "", "", errRegistryURL()
	}
	if path != "" {
		repository = path + "/" + repository
	}
	return host, repository, nil
}

// isRegistryAddress reports whether images can be below the address.
func isRegistryAddress(host, path string) bool {
	normal, err := normalizeHost(strings.ToLower(host))
	return err == nil && (path == "" || isRepository(normal, path))
}

// errRegistryURL does not repeat what was given: whoever separates a secret from it by another "?" has put that into it.
func errRegistryURL() error {
	return refuse(ErrorInvalidImage, "registry_url in the URL is not valid: it must be a host name with a dot or a port, or localhost, "+
		"and may have a path in lower case, as in &registry_url=registry.example.com/team; what follows begins with &, as in &secret=, not with ?")
}
