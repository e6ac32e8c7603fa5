// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import "strings"

// registryAddress is the registry_url in the webhook's URL. It is read once, whatever the number of images in a body.
type registryAddress struct {
	host, path   string
	given, valid bool
}

func readRegistryURL(address string) registryAddress {
	host, path := splitAddress(address)
	return registryAddress{host, path, address != "", address != "" && isRegistryAddress(host, path)}
}

// pulledFrom returns the host and the repository under which clusters pull an image, for senders that tell them not at
// all, or not reliably: what the operator wrote into the webhook's URL wins over what the payload says.
func (m message) pulledFrom(host, repository string) (pullHost, pullRepository string, err error) {
	switch {
	case !m.registry.given:
		return host, repository, nil
	case !m.registry.valid:
		return "", "", errRegistryURL()
	case m.registry.path != "":
		repository = m.registry.path + "/" + repository
	}
	return m.registry.host, repository, nil
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
