// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/component-base/metrics/legacyregistry"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authorization/path"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
)

const ours = "/apis/postern.dev/v1alpha1/namespaces/demo/gatewaysyncs/web/webhookdeliveries"

// byHeader accepts the header Relayed in place of the front-proxy certificate.
type byHeader struct{}

func (byHeader) AuthenticateRequest(req *http.Request) (*authenticator.Response, bool, error) {
	return &authenticator.Response{User: authenticatesJane.user}, req.Header.Get("Relayed") != "", nil
}

// newTestCallers returns a callerFilter without certificates.
func newTestCallers(t *testing.T, allow bool) *callerFilter {
	t.Helper()
	open, err := path.NewAuthorizer([]string{"/livez"})
	if err != nil {
		t.Fatal(err)
	}
	return &callerFilter{
		frontProxy: byHeader{}, openPaths: open, allowDirect: allow, limit: newDirectLimit(10),
		requestInfo: &genericapirequest.RequestInfoFactory{APIPrefixes: sets.NewString("apis", "api"),
			GrouplessAPIPrefixes: sets.NewString("api")},
	}
}

// unread fails the test when the body of a rejected request is read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, errors.New("it is not to be read")
}

func TestCallerFilter_LimitsDirectCallers(t *testing.T) {
	token := map[string]string{"Authorization": "Bearer x"}
	for name, test := range map[string]struct {
		path   string
		header map[string]string
		allow  bool
		code   int
		says   string
	}{
		"relayed": {path: ours, header: map[string]string{"Relayed": "yes"}, code: http.StatusOK},
		"our API": {path: ours, code: http.StatusForbidden,
			says: "send the request to the kube-apiserver"},
		"our API, with a token": {path: ours, header: token, code: http.StatusForbidden,
			says: "--allow-direct-callers"},
		"our API, spelled oddly":   {path: "/" + ours + "/", header: token, code: http.StatusForbidden},
		"another API":              {path: "/api/v1/secrets", header: token, code: http.StatusForbidden},
		"a group that is not ours": {path: "/apis/x.dev/v1/things", header: token, code: http.StatusForbidden},
		"our API, allowed":         {path: ours, header: token, allow: true, code: http.StatusOK},
		"allowed, no credential": {path: ours, allow: true, code: http.StatusUnauthorized,
			says: "a token or a client certificate"},
		"a probe":               {path: "/livez", code: http.StatusOK},
		"a probe, with a token": {path: "/livez", header: token, code: http.StatusOK},
		"below a probe":         {path: "/livez/ping", code: http.StatusUnauthorized},
		"metrics":               {path: "/metrics", code: http.StatusUnauthorized},
		"metrics, with a token": {path: "/metrics", header: token, code: http.StatusOK},
		"metrics, as another user": {
			path: "/metrics", header: map[string]string{"Authorization": "Bearer x", "Impersonate-User": "admin"},
			code: http.StatusForbidden, says: "impersonation is not supported",
		},
	} {
		t.Run(name, func(t *testing.T) {
			callers := newTestCallers(t, test.allow)
			handler := callers.wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusOK)
			}))
			req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "https://postern"+test.path, unread{t})
			for name, value := range test.header {
				req.Header.Set(name, value)
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, req)
			if w.Code != test.code || !strings.Contains(w.Body.String(), test.says) {
				t.Errorf("got %d: %s; want %d, %q", w.Code, w.Body, test.code, test.says)
			}
		})
	}
}

func TestCallerFilter_OpenPathNeedsNoReview(t *testing.T) {
	c := newTestCallers(t, false)
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/livez", http.NoBody)
	req.Header.Set("Authorization", "Bearer x")
	how, err := c.classify(req)
	if err != nil || !how.openPath {
		t.Fatalf("got %+v, %v", how, err)
	}
	req = req.WithContext(context.WithValue(req.Context(), callerKey{}, how))
	if _, ok, err := (&callerAuthenticator{direct: authenticationFails}).AuthenticateRequest(req); !ok || err != nil {
		t.Errorf("the token was reviewed: %t, %v", ok, err)
	}
}

func TestCallerFilter_OneTokenPerRequest(t *testing.T) {
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody)
	req.Header.Set("Authorization", "Bearer x")
	req.Header.Set("Sec-WebSocket-Protocol", "base64url.bearer.authorization.k8s.io.eA")
	if _, err := newTestCallers(t, false).classify(req); err != nil {
		t.Fatal(err)
	}
	if got := req.Header.Get("Sec-WebSocket-Protocol"); got != "" {
		t.Errorf("the second token was not removed: %s", got)
	}
}

func TestCallerFilter_TooManyTokensGet429(t *testing.T) {
	c := newTestCallers(t, false)
	refused := 0
	for range 100 {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody)
		req.Header.Set("Authorization", "Bearer x")
		if _, err := c.classify(req); err != nil {
			if seconds, suggested := apierrors.SuggestsClientDelay(err); !apierrors.IsTooManyRequests(err) ||
				!suggested || seconds < 1 {
				t.Fatalf("got %v", err)
			}
			refused++
		}
	}
	if refused < 80 {
		t.Errorf("%d of 100 requests were refused", refused)
	}
}

func TestMetrics_RefusedDirectCallersByCause(t *testing.T) {
	for cause, refuse := range map[string]func(t *testing.T){
		"Direct": func(t *testing.T) {
			_, _ = newTestCallers(t, false).classify(httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
		},
		"DirectRate": func(t *testing.T) {
			c := newTestCallers(t, false)
			req := httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody)
			req.Header.Set("Authorization", "Bearer x")
			for how, err := c.classify(req); how != nil && err == nil; {
				how, err = c.classify(req)
			}
		},
	} {
		before := refusals(t)
		refuse(t)
		got := refusals(t)
		for other, count := range before {
			got[other] -= count
		}
		maps.DeleteFunc(got, func(_ string, count float64) bool { return count == 0 })
		if diff := cmp.Diff(map[string]float64{cause: 1}, got); diff != "" {
			t.Errorf("refused requests by cause (-want +got):\n%s", diff)
		}
	}
}

// refusals returns the metric of refused requests by cause.
func refusals(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := legacyregistry.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, family := range families {
		if family.GetName() != "postern_refused_requests_total" {
			continue
		}
		for _, metric := range family.GetMetric() {
			counts[metric.GetLabel()[0].GetValue()] = metric.GetCounter().GetValue()
		}
	}
	return counts
}
