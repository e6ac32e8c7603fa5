// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"slices"

	"postern.dev/postern/pkg/payload"
)

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
	sender, _ := payload.Lookup(source)
	supported := SupportedMethods{Methods: []string{}, Keys: []string{payload.SecretKey(source)}}
	methods := methodsOf(sender)
	for _, method := range methods {
		if method != MethodServiceAccount || v.config.IdentityIsCredential {
			supported.Methods = append(supported.Methods, string(method))
		}
	}
	valid := v.secrets.validFor(Attempt{Namespace: namespace, Source: source})
	if sender.OnlyOwnSecret() {
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

// methodsOf returns the methods of a type of sender, best first.
func methodsOf(sender payload.Sender) []Method {
	var methods []Method
	if sender.Identity {
		methods = append(methods, MethodServiceAccount)
	}
	if len(sender.Signatures) > 0 {
		methods = append(methods, MethodHMAC)
	}
	if sender.Token {
		methods = append(methods, MethodToken)
	}
	if sender.QueryToken {
		methods = append(methods, MethodQueryToken)
	}
	return methods
}
