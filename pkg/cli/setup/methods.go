// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/credential"
)

// TitleOf returns the name of a type of sender.
func TitleOf(source string) string { return forms[source].Title }

// MethodsOf returns the methods by which a type of sender can authenticate. The first is what its page describes.
func MethodsOf(source string) []credential.Method {
	verifier := credential.NewVerifier(credential.Config{IdentityIsCredential: true}, &credential.Secrets{})
	first := forms[source].Method
	methods := []credential.Method{first}
	for _, method := range verifier.MethodsFor("", source).Methods {
		if credential.Method(method) != first {
			methods = append(methods, credential.Method(method))
		}
	}
	return methods
}

// NeedsTargetKey reports whether a sender at an endpoint needs a key of the target: its signatures are verified before
// its type is known, because neither the path nor its headers name it.
func NeedsTargetKey(endpoint cli.Endpoint, method credential.Method) bool {
	return endpoint.Target != nil && method == byHMAC && forms[endpoint.Source].Unnamed
}

// CheckMethod returns an error if a type of sender can't authenticate by a method.
func CheckMethod(source, method string) error {
	if methods := MethodsOf(source); !slices.Contains(methods, credential.Method(method)) {
		return fmt.Errorf("%s can't authenticate by %s: use one of %v", TitleOf(source),
			cli.Quote(cli.Printable(method)), methods)
	}
	return nil
}

// CompleteMethods completes the methods of all types of sender.
func CompleteMethods(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{string(byToken), string(byOIDC), string(byHMAC), string(bySecret), string(byQuery)},
		cobra.ShellCompDirectiveNoFileComp
}
