// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"net/http"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
)

type dryRunKey struct{}

// WithDryRun lets a request through the door with a dryRun in its query: the framework refuses it for whatever is
// connected to, and so for a door. It belongs inside of the filters, which then see the query as it came.
//
// Source: ConnectResource in k8s.io/apiserver, pkg/endpoints/handlers/rest.go.
func WithDryRun(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		query := req.URL.Query()
		if !query.Has("dryRun") || !isForDoor(req) {
			next.ServeHTTP(w, req)
			return
		}
		taken := req.Clone(context.WithValue(req.Context(), dryRunKey{}, query["dryRun"]))
		query.Del("dryRun")
		taken.URL.RawQuery = query.Encode()
		next.ServeHTTP(w, taken)
	})
}

func isForDoor(req *http.Request) bool {
	info, ok := genericapirequest.RequestInfoFrom(req.Context())
	return ok && (info.Subresource == "webhookdeliveries" || info.Subresource == "redeliver") && req.Method == http.MethodPost
}

// dryRunIn tells whether the request must leave nothing. What may be asked for is what every other resource takes.
func dryRunIn(ctx context.Context) (bool, error) {
	values, _ := ctx.Value(dryRunKey{}).([]string)
	if len(values) == 0 {
		return false, nil
	}
	if !slices.Equal(values, []string{metav1.DryRunAll}) {
		return false, apierrors.NewBadRequest("dryRun in the query must be given once, as " + metav1.DryRunAll)
	}
	return true, nil
}
