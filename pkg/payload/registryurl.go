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
	kept := keptAddress(m.registryURLs, r)
	switch {
	case m.registryURL == "" && kept == "":
		return r.host, "", false, nil
	case m.registryURL != "" && !m.signed:
		host, path = splitAddress(m.registryURL)
		if !m.checked.isRegistryAddress(host, path) {
			return "", "", false, errRegistryURL()
		}
	case kept != "":
		host, path = splitAddress(kept)
		if !m.checked.isRegistryAddress(host, path) {
			return "", "", false, errKeptAddress(r.source)
		}
	default:
		return "", "", false, errRegistryURLNotSigned(r.source)
	}
	return host, path, true, nil
}

// pulledFrom returns the host and the repository under which clusters pull an image.
func (m message) pulledFrom(r registry, repository string) (pullHost, pullRepository string, err error) {
	host, path, _, err := m.address(r)
	if path != "" {
		repository = path + "/" + repository
	}
	return host, repository, err
}

// keptAddress returns the address that is kept for the repository, or else for the whole registry, or "".
func keptAddress(registryURLs func(string) string, r registry) (address string) {
	if registryURLs == nil {
		return ""
	}
	for line := range strings.Lines(registryURLs(r.source)) {
		name, ofRepository, isNamed := strings.Cut(strings.TrimSpace(line), "=")
		switch {
		case !isNamed:
			if address == "" {
				address = name
			}
		case r.repository != "" && strings.TrimSpace(name) == r.repository:
			return strings.TrimSpace(ofRepository)
		}
	}
	return address
}

// checkedAddress remembers whether images can be below the address that was asked about last: a body may name hundreds of
// images, all of them below the same.
type checkedAddress struct {
	host, path string
	known, ok  bool
}

// isRegistryAddress is the function of that name. The receiver may be nil.
func (c *checkedAddress) isRegistryAddress(host, path string) bool {
	if c == nil {
		return isRegistryAddress(host, path)
	}
	if !c.known || c.host != host || c.path != path {
		*c = checkedAddress{host, path, true, isRegistryAddress(host, path)}
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

func registryKey(source string) string { return "webhook." + source + "-registry-url" }

// errKeptAddress does not repeat what is kept beside secrets.
func errKeptAddress(source string) error {
	return refuse(ErrorInvalidImage, "the address under %s, beside the webhook secrets, is not valid: "+
		"it must be a host name with a dot or a port, or localhost, and may have a path in lower case", registryKey(source))
}

func errRegistryURLNotSigned(source string) error {
	return refuse(ErrorInvalidField, "registry_url in the URL does not count, since the signature does not cover it: "+
		"give the address under the key %s, beside the webhook secret", registryKey(source))
}
