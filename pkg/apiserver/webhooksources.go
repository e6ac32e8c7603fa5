// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"fmt"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/payload"
)

// sources tells of each type of sender what the payload and credential packages know of it.
type sources struct {
	verifier *credential.Verifier
}

// Describe returns the types of sender, as they stand in a namespace.
func (s sources) Describe(namespace string) []postern.WebhookSource {
	var described []postern.WebhookSource
	for _, name := range payload.Sources() {
		ways := s.verifier.MethodsFor(namespace, name)
		source := postern.WebhookSource{Status: postern.WebhookSourceStatus{
			Requests:   payload.Requests(name),
			Methods:    ways.Methods,
			SecretKeys: ways.Keys,
			HasSecret:  ways.HasSecret,
			Path: fmt.Sprintf("/apis/%s/namespaces/%s/webhooksources/%s/webhookdeliveries",
				v1alpha1.SchemeGroupVersion, namespace, name),
		}}
		source.Name, source.Namespace = name, namespace
		described = append(described, source)
	}
	return described
}
