// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import "slices"

// SupportedMethods is how a type of sender can prove itself in a namespace.
type SupportedMethods struct {
	// Methods are those that the sender is able to use and that are accepted, best first. It is never nil.
	Methods []string
	// Keys are those of the namespace's Secret that count for the sender, by a method that it is able to use.
	Keys []string
	// HasSecret is whether one of the keys holds a secret, or a default counts in place of them.
	HasSecret bool
}

// MethodsFor returns how a type of sender can prove itself in a namespace.
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
	// A token does not help who can only sign: to say that it has a secret would hide why it is turned away.
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

// methodsOf says what each sender is able to do: put a ServiceAccount token into Authorization, sign, put a secret into
// another header, or into the URL. GitLab, JFrog and scripts can do all but the last. A sender signs if it is in signers.
func methodsOf(source string) []Method {
	switch source {
	case sourceGitHub, sourceBitbucket, sourceBitbucketServer, sourceGHCR, sourceNexus:
		return []Method{MethodHMAC}
	case sourceGitea:
		return []Method{MethodServiceAccount, MethodHMAC}
	case sourceHarbor:
		return []Method{MethodServiceAccount}
	case sourceECR: // EventBridge, whose headers are too short for a ServiceAccount's token: 512 characters
		return []Method{MethodToken}
	case sourceCloudEvents:
		return []Method{MethodServiceAccount, MethodToken, MethodQueryToken}
	case sourceDockerHub, sourceQuay, sourceAliyunACR, sourceGAR:
		return []Method{MethodQueryToken}
	case sourceGitLab, sourceJFrog, sourceGeneric:
		return []Method{MethodServiceAccount, MethodHMAC, MethodToken}
	default: // Azure DevOps, Argo CD, Kargo and the registries whose headers one sets
		return []Method{MethodServiceAccount, MethodToken}
	}
}
