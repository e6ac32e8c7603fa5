// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"errors"
	"net/http"

	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/server/healthz"

	"postern.dev/postern/pkg/registry/deliver"
)

var errRelayUnknown = errors.New("it is not known yet by which certificate the kube-apiserver proves itself")

// relayKnown returns an error until it is known by which certificate the kube-apiserver proves itself when it says who
// the caller is. The framework begins to serve before that, and would take every caller for a stranger: senders would be
// told for good what is wrong for a moment only.
//
// Source: ConfigMapCAController.RunOnce in k8s.io/apiserver, pkg/server/dynamiccertificates/configmap_cafile_content.go.
func relayKnown(config *authenticatorfactory.RequestHeaderConfig) error {
	if config == nil {
		return nil // nobody is believed about callers, now and later
	}
	if _, known := config.CAContentProvider.VerifyOptions(); !known {
		return errRelayUnknown
	}
	return nil
}

// relayCheck keeps the server unready until callers can be told apart.
func relayCheck(config *authenticatorfactory.RequestHeaderConfig) healthz.HealthChecker {
	return healthz.NamedCheck("request-header", func(*http.Request) error { return relayKnown(config) })
}

// onceRelayKnown answers 503 to all but probes until callers can be told apart.
func onceRelayKnown(next http.Handler, config *authenticatorfactory.RequestHeaderConfig) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if err := relayKnown(config); err != nil && !isProbe(req.URL.Path) {
			deliver.WriteError(w, unavailable("Postern is starting, send the request again: "+err.Error()))
			return
		}
		next.ServeHTTP(w, req)
	})
}
