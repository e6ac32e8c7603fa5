// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import "slices"

// Ways is how a type of sender can prove itself in a namespace.
type Ways struct {
	// Methods are those that the sender is able to use, best first.
	Methods []string
	// Keys are those of the namespace's Secret that count for the sender.
	Keys []string
	// HasSecret is whether one of the keys holds a secret.
	HasSecret bool
}

// WaysOf returns how a type of sender can prove itself in a namespace.
func (s *Secrets) WaysOf(namespace, source string) Ways {
	ways := Ways{Methods: methodsOf(source), Keys: []string{sourceKey(source)}}
	if !hasOnlyOwnKey(source) {
		ways.Keys = append(ways.Keys, hmacKey, tokenKey)
	}
	s.mu.RLock()
	ring := s.namespaces[namespace]
	s.mu.RUnlock()
	ways.HasSecret = slices.ContainsFunc(ways.Keys, func(key string) bool { return len(ring.secrets[key]) > 0 })
	return ways
}

// methodsOf says what each sender is able to do: put a ServiceAccount token into Authorization, sign, put a secret into
// another header, or into the URL. What is not known here is some tool that people call as they like.
func methodsOf(source string) []string {
	var methods []Method
	switch source {
	case "github", "bitbucket", "bitbucket-server", sourceGHCR, sourceNexus:
		methods = []Method{MethodHMAC}
	case "gitlab", sourceJFrog:
		methods = []Method{MethodHMAC, MethodToken}
	case "gitea":
		methods = []Method{MethodServiceAccount, MethodHMAC}
	case sourceHarbor:
		methods = []Method{MethodServiceAccount}
	case "azure-devops", sourceACR, sourceECR, sourceDistribution, sourceZot:
		methods = []Method{MethodServiceAccount, MethodToken}
	case sourceCloudEvents:
		methods = []Method{MethodServiceAccount, MethodToken, MethodQueryToken}
	case sourceDockerHub, sourceQuay, sourceAliyunACR, sourceGAR:
		methods = []Method{MethodQueryToken}
	default:
		methods = []Method{MethodServiceAccount, MethodHMAC, MethodToken}
	}
	names := make([]string, 0, len(methods))
	for _, m := range methods {
		names = append(names, string(m))
	}
	return names
}
