// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import "strings"

// registry is the registry that a sender tells of.
type registry struct {
	// source is the type of sender.
	source string
	// repository is how the payload names the part of the registry that may have an address of its own, or "".
	repository string
	// host is what the payload says of the address, or "".
	host string
}

// address returns the host and the path below which clusters pull the registry's images, for senders that tell it not at
// all, or not reliably: what the operator wrote into the webhook's URL wins over what is kept apart from the request, and
// that over what the payload says. given is whether the operator gave it at all.
//
// A signature covers the body alone. Beside one, the URL could be anybody's, so what it says is refused unless the address
// is known without it.
func (m message) address(r registry) (host, path string, given bool, err error) {
	configured := configuredAddress(m.registryURLs, r)
	switch {
	case m.registryURL == "" && configured == "":
		return r.host, "", false, nil
	case m.registryURL != "" && !m.signed:
		host, path = splitAddress(m.registryURL)
		if !m.addressCache.isRegistryAddress(host, path) {
			return "", "", false, errRegistryURL()
		}
	case configured != "":
		host, path = splitAddress(configured)
		if !m.addressCache.isRegistryAddress(host, path) {
			return "", "", false, errConfiguredAddress(r.source)
		}
	default:
		return "", "", false, errRegistryURLNotSigned(r.source)
	}
	return host, path, true, nil
}

// pullReference returns the host and the repository under which clusters pull an image.
func (m message) pullReference(r registry, repository string) (pullHost, pullRepository string, err error) {
	host, path, _, err := m.address(r)
	if path != "" {
		repository = path + "/" + repository
	}
	return host, repository, err
}

// configuredAddress returns the address that is kept for the repository, or else for the whole registry, or "".
func configuredAddress(registryURLs func(string) string, r registry) (address string) {
	if registryURLs == nil {
		return ""
	}
	for line := range strings.Lines(registryURLs(r.source)) {
		name, repositoryAddress, isNamed := strings.Cut(strings.TrimSpace(line), "=")
		switch {
		case !isNamed:
			if address == "" {
				address = name
			}
		case r.repository != "" && strings.TrimSpace(name) == r.repository:
			return strings.TrimSpace(repositoryAddress)
		}
	}
	return address
}

// addressCache remembers whether images can be below the address that was asked about last: a body may name hundreds of
// images, all of them below the same.
type addressCache struct {
	host, path string
	known, ok  bool
}

// isRegistryAddress is the function of that name. The receiver may be nil.
func (c *addressCache) isRegistryAddress(host, path string) bool {
	if c == nil {
		return isRegistryAddress(host, path)
	}
	if !c.known || c.host != host || c.path != path {
		*c = addressCache{host, path, true, isRegistryAddress(host, path)}
	}
	return c.ok
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

func registryURLKey(source string) string { return "webhook." + source + "-registry-url" }

// errConfiguredAddress does not repeat what is kept beside secrets.
func errConfiguredAddress(source string) error {
	return refuse(ErrorInvalidImage, "the address under %s, beside the webhook secrets, is not valid: "+
		"it must be a host name with a dot or a port, or localhost, and may have a path in lower case", registryURLKey(source))
}

func errRegistryURLNotSigned(source string) error {
	return refuse(ErrorInvalidField, "registry_url in the URL does not count, since the signature does not cover it: "+
		"give the address under the key %s, beside the webhook secret", registryURLKey(source))
}
