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

// sourceDescriber describes each type of sender by what the payload and credential packages know about it.
type sourceDescriber struct {
	verifier *credential.Verifier
}

// Describe returns the types of sender as configured in a namespace.
func (s sourceDescriber) Describe(namespace string) []postern.WebhookSource {
	var described []postern.WebhookSource
	for _, name := range payload.Sources() {
		methods := s.verifier.MethodsFor(namespace, name)
		source := postern.WebhookSource{Status: postern.WebhookSourceStatus{
			Requests:   payload.Requests(name),
			Methods:    methods.Methods,
			SecretKeys: methods.Keys,
			HasSecret:  methods.HasSecret,
			Path: fmt.Sprintf("/apis/%s/namespaces/%s/webhooksources/%s/webhookdeliveries",
				v1alpha1.SchemeGroupVersion, namespace, name),
		}}
		source.Name, source.Namespace = name, namespace
		described = append(described, source)
	}
	return described
}
