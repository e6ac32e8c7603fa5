// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
)

// An invalid value must not cause a write.
func TestDryRunIsReadFromTheQuery(t *testing.T) {
	for query, want := range map[string]struct {
		code   int
		dryRun bool
	}{
		"":                      {http.StatusAccepted, false},
		"?other=All":            {http.StatusAccepted, false},
		"?dryRun=All":           {http.StatusAccepted, true},
		"?dryRun=":              {code: http.StatusBadRequest},
		"?dryRun=all":           {code: http.StatusBadRequest},
		"?dryRun=true":          {code: http.StatusBadRequest},
		"?dryRun=All&dryRun=No": {code: http.StatusBadRequest},
	} {
		t.Run(query, func(t *testing.T) {
			d := newTestEndpoint(t)
			resp, err := http.Post(d.url+query, "application/json", strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != want.code {
				t.Errorf("got %d, want %d", resp.StatusCode, want.code)
			}
			if d.deliverer.dryRun != want.dryRun || d.deliverer.called != (want.code == http.StatusAccepted) {
				t.Errorf("delivered: %t, dry run: %t", d.deliverer.called, d.deliverer.dryRun)
			}
		})
	}
}

// The framework reads dryRun of all other requests.
func TestDryRunIsRemovedFromTheQueryForEndpointsOnly(t *testing.T) {
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
