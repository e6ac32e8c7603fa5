// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
)

// A client that is still sending when the connection closes may not receive the response.
func TestReadBody_TooLargeIsDrained(t *testing.T) {
	body := strings.NewReader(strings.Repeat("a", 8<<20))
	const limit = 16
	_, err := ReadBody(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", body), limit,
		PayloadTooLargeMessage(limit))
	if !apierrors.IsRequestEntityTooLargeError(err) {
		t.Errorf("got %v, want a too large error", err)
	}
	if body.Len() > 0 {
		t.Errorf("%d bytes were not read", body.Len())
	}
}

// The framework reads dryRun of all other requests.
func TestWithDryRun_EndpointsOnly(t *testing.T) {
	for name, test := range map[string]struct {
		method, subresource, query, want string
	}{
		"a delivery": {"POST", "webhookdeliveries", "timeout=5s&dryRun=All&pretty=true",
			"pretty=true&timeout=5s"},
		"a delivery for good": {"POST", "webhookdeliveries", "timeout=5s&pretty=true", "timeout=5s&pretty=true"},
		"a redelivery":        {"POST", "redeliver", "timeout=5s&dryRun=All&pretty=true", "pretty=true&timeout=5s"},
		"a list":              {"GET", "webhookdeliveries", "dryRun=All", "dryRun=All"},
		"an object":           {"POST", "", "dryRun=All", "dryRun=All"},
	} {
		t.Run(name, func(t *testing.T) {
			var got string
			handler := WithDryRun(
				http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { got = req.URL.RawQuery }))
			req := httptest.NewRequest(test.method, "/?"+test.query, nil)
			info := &genericapirequest.RequestInfo{Subresource: test.subresource}
			handler.ServeHTTP(httptest.NewRecorder(),
				req.WithContext(genericapirequest.WithRequestInfo(req.Context(), info)))
			if got != test.want {
				t.Errorf("passed on %q, want %q", got, test.want)
			}
			if req.URL.RawQuery != test.query {
				t.Errorf("the original request was changed to %q", req.URL.RawQuery)
			}
		})
	}
}
