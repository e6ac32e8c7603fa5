// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import "strings"

// registryKeySuffix ends the key under which the address of a registry is, beside the secrets. Where only a signature
// proves the sender, what the query of the URL says is not proved, and this counts in its place.
const registryKeySuffix = "-registry-url"

// maxRegistriesBytes bounds what is read under one such key: more than any list of repositories needs.
const maxRegistriesBytes = 16 << 10

func registryKey(source string) string { return sourceKeyPrefix + source + registryKeySuffix }

func isRegistryKey(key string) bool {
	return strings.HasPrefix(key, sourceKeyPrefix) && strings.HasSuffix(key, registryKeySuffix)
}

// withRegistries adds the text under a key. A text that is too long is left out whole: half an address is another one.
func withRegistries(registries map[string]string, key string, value []byte) map[string]string {
	if len(value) > maxRegistriesBytes {
		return registries
	}
	if registries == nil {
		registries = map[string]string{}
	}
	registries[key] = string(value)
	return registries
}

// RegistryURLs returns the addresses that a namespace gives for the registry of a type of sender, as they are written
// there, or "". It is safe for concurrent use.
func (s *Secrets) RegistryURLs(namespace, source string) string {
	return s.keyring(namespace).registries[registryKey(source)]
}
