// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"net/http"

	utilnet "k8s.io/apimachinery/pkg/util/net"

	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/delivery"
)

// WithoutQuerySecret moves the secret from the query into the context, where no log, trace, audit event, redirection or
// panic can show it. It must be outside of all that looks at the URL. The warning, if it is not empty, goes with the answer.
func WithoutQuerySecret(next http.Handler, warning string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		query, secret, found := credential.CutQuerySecret(req.URL.RawQuery)
		if !found {
			next.ServeHTTP(w, req)
			return
		}
		if header, err := utilnet.NewWarningHeader(299, "-", warning); err == nil && warning != "" {
			w.Header().Add("Warning", header)
		}
		cleaned := req.Clone(delivery.WithQuerySecret(req.Context(), secret))
		cleaned.URL.RawQuery = query
		cleaned.RequestURI = cleaned.URL.RequestURI()
		// What a proxy, such as the kube-apiserver, was asked for, query and all.
		cleaned.Header.Del("X-Forwarded-Uri")
		next.ServeHTTP(w, cleaned)
	})
}
