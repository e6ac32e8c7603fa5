// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"net/http"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	genericapiserver "k8s.io/apiserver/pkg/server"

	"postern.dev/postern/pkg/delivery"
)

// buildHandlerChain is the framework's chain of filters with ours outside of it.
func buildHandlerChain(handler http.Handler, c *genericapiserver.Config) http.Handler {
	return withoutQuerySecret(genericapiserver.DefaultBuildHandlerChain(handler, c))
}

const querySecretWarning = "the secret in the query of this URL can be read in the cluster's audit log: use a header, a signature or a ServiceAccount token if the sender can"

// withoutQuerySecret moves the secret from the query into the context, where no log, trace, audit event or panic can
// show it. It must be outside of all filters that look at the URL.
func withoutQuerySecret(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		query := req.URL.Query()
		if !query.Has("secret") {
			next.ServeHTTP(w, req)
			return
		}
		if warning, err := utilnet.NewWarningHeader(299, "-", querySecretWarning); err == nil {
			w.Header().Add("Warning", warning)
		}
		cleaned := req.Clone(delivery.WithQuerySecret(req.Context(), query.Get("secret")))
		query.Del("secret")
		cleaned.URL.RawQuery = query.Encode()
		cleaned.RequestURI = cleaned.URL.RequestURI()
		// What the kube-apiserver was asked for, query and all.
		cleaned.Header.Del("X-Forwarded-Uri")
		next.ServeHTTP(w, cleaned)
	})
}
