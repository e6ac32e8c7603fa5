// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/pkg/apiserver/filters"
	"postern.dev/postern/pkg/delivery"
)

func TestHandlers_QuerySecretIsRemoved(t *testing.T) {
	const warning = `299 - "the secret in the query of this URL can be read in the cluster's audit log: ` +
		`use a header, a signature or a ServiceAccount token if the sender can"`
	type seen struct{ URI, Secret, Warning string }
	for query, want := range map[string]seen{
		"":                                      {"/apis", "", ""},
		"?a=1&b=%20":                            {"/apis?a=1&b=%20", "", ""},
		"?my-secret=1&labelSelector=secret":     {"/apis?my-secret=1&labelSelector=secret", "", ""},
		"?secret=s3cret":                        {"/apis", "s3cret", warning},
		"?b=%20&secret=s3cret&a=1":              {"/apis?b=%20&a=1", "s3cret", warning},
		"?secret=s3cret&a=1&secret=s3cret-too":  {"/apis?a=1", "s3cret", warning},
		"?secret=a%20s3cret%2B":                 {"/apis", "a s3cret+", warning},
		"?s%65cret=s3cret":                      {"/apis", "s3cret", warning},
		"?secret=":                              {"/apis", "", warning},
		"?secret":                               {"/apis", "", warning},
		"?a=1&secret=s3cret%":                   {"/apis?a=1", "", warning},
		"?a=%&secret=s3cret;b":                  {"/apis?a=%", "s3cret;b", warning},
		"?dryRun=All&secret=s3cret&timeout=10s": {"/apis?dryRun=All&timeout=10s", "s3cret", warning},
	} {
		t.Run(query, func(t *testing.T) {
			var got seen
			handler := filters.WithoutQuerySecret(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
				got = seen{URI: req.URL.String(), Secret: delivery.QuerySecretFrom(req.Context())}
				if req.RequestURI != got.URI {
					t.Errorf("the request URI is %q, the URL %q", req.RequestURI, got.URI)
				}
				// Tracing, logging and panics may print any of these.
				if text := fmt.Sprint(req.URL, req.RequestURI, req.Header, req.Form); strings.Contains(text, "s3cret") {
					t.Errorf("the secret is visible: %s", text)
				}
			}), querySecretWarning)
			req := httptest.NewRequest(http.MethodPost, "/apis"+query, nil)
			req.Header.Set("X-Forwarded-Uri", "/apis"+query)
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, req)
			got.Warning = answer.Header().Get("Warning")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("seen (-want +got):\n%s", diff)
			}
		})
	}
}
