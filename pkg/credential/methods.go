// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import "slices"

// SupportedMethods are the authentication methods of a type of sender in a namespace.
type SupportedMethods struct {
	// Methods are the accepted methods that the sender supports, best first. It is never nil.
	Methods []string
	// Keys are the keys of the namespace's Secret that are used for the sender and its methods.
	Keys []string
	// HasSecret reports whether one of the keys has a secret, or a default secret applies instead.
	HasSecret bool
}

// MethodsFor returns the methods of a type of sender in a namespace.
func (v *Verifier) MethodsFor(namespace, source string) SupportedMethods {
	supported := SupportedMethods{Methods: []string{}, Keys: []string{sourceKey(source)}}
	methods := methodsOf(source)
	for _, method := range methods {
		if method != MethodServiceAccount || v.config.IdentityIsCredential {
			supported.Methods = append(supported.Methods, string(method))
		}
	}
	valid := v.secrets.validFor(Attempt{Namespace: namespace, Source: source})
	if hasOnlyOwnKey(source) {
		supported.HasSecret = valid.hasAny()
		return supported
	}
	// A token does not help a sender that can only sign: to report it would hide why the sender is rejected.
	if slices.Contains(methods, MethodHMAC) {
		supported.Keys = append(supported.Keys, hmacKey)
		supported.HasSecret = len(valid.hmac) > 0
	}
	if slices.Contains(methods, MethodToken) {
		supported.Keys = append(supported.Keys, tokenKey)
		supported.HasSecret = supported.HasSecret || len(valid.token) > 0
	}
	return supported
}

// methodsOf returns the methods that a type of sender supports: a ServiceAccount token in Authorization, a signature
// (see schemesBySource), a secret in another header, or one in the URL. GitLab, JFrog and scripts support all but the
// last.
func methodsOf(source string) []Method {
	switch source {
	case sourceGitHub, sourceBitbucket, sourceBitbucketServer, sourceGHCR, sourceNexus:
		return []Method{MethodHMAC}
	case sourceGitea:
		return []Method{MethodServiceAccount, MethodHMAC}
	case sourceHarbor:
		return []Method{MethodServiceAccount}
	case sourceECR: // EventBridge limits headers to 512 characters, too short for a ServiceAccount token
		return []Method{MethodToken}
	case sourceCloudEvents:
		return []Method{MethodServiceAccount, MethodToken, MethodQueryToken}
	case sourceDockerHub, sourceQuay, sourceAliyunACR, sourceGAR:
		return []Method{MethodQueryToken}
	case sourceGitLab, sourceJFrog, sourceGeneric:
		return []Method{MethodServiceAccount, MethodHMAC, MethodToken}
	default: // Azure DevOps, Argo CD, Kargo and registries with configurable headers
		return []Method{MethodServiceAccount, MethodToken}
	}
}
