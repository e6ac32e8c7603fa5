// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"net/http"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/delivery"
)

type dryRunKey struct{}

// WithDryRun moves dryRun from the query to the context at the delivery endpoints, because the framework rejects it for
// connect requests. It must be inside the filters, which then see the original query.
//
// Source: ConnectResource in k8s.io/apiserver, pkg/endpoints/handlers/rest.go.
func WithDryRun(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		query := req.URL.Query()
		if !query.Has("dryRun") || !isDeliverRequest(req) {
			next.ServeHTTP(w, req)
			return
		}
		cleaned := req.Clone(context.WithValue(req.Context(), dryRunKey{}, query["dryRun"]))
		query.Del("dryRun")
		cleaned.URL.RawQuery = query.Encode()
		next.ServeHTTP(w, cleaned)
	})
}

func isDeliverRequest(req *http.Request) bool {
	info, ok := genericapirequest.RequestInfoFrom(req.Context())
	return ok && (info.Subresource == "webhookdeliveries" || info.Subresource == "redeliver") &&
		req.Method == http.MethodPost
}

// dryRunFrom reports whether the request is a dry run. It accepts the same values as other resources.
func dryRunFrom(ctx context.Context) (bool, error) {
	values, _ := ctx.Value(dryRunKey{}).([]string)
	if len(values) == 0 {
		return false, nil
	}
	if !slices.Equal(values, []string{metav1.DryRunAll}) {
		return false, apierrors.NewBadRequest("dryRun in the query must be given once, as " + metav1.DryRunAll)
	}
	return true, nil
}

// WithoutQuerySecret moves the secret from the query to the context, so that no log, trace, audit event, redirect or
// panic contains it. It must be outside of all handlers that use the URL. A non-empty warning is added to the response.
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
		// The original URL at a proxy, such as the kube-apiserver, including the query.
		cleaned.Header.Del("X-Forwarded-Uri")
		next.ServeHTTP(w, cleaned)
	})
}
