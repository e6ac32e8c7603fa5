// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiserver/pkg/authentication/user"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/credential"
)

func TestHandler_UnknownMethodsAndPaths(t *testing.T) {
	const nothing = `{"error":"no such path: POST a webhook to /webhook/NAMESPACE/NAME for one GatewaySync, ` +
		`or to /webhook?type=TYPE for all targets that follow the pushed image or ref"}`
	for name, tc := range map[string]struct {
		method, path, allow string
		want                httpResult
	}{
		"GET of a webhook": {"GET", "/webhook?type=quay.io", "POST",
			jsonResult(405, `{"error":"this path accepts only POST"}`)},
		"HEAD of a webhook": {"HEAD", "/webhook", "POST",
			jsonResult(405, `{"error":"this path accepts only POST"}`)},
		"PUT to a GatewaySync": {"PUT", "/webhook/demo/plant", "POST",
			jsonResult(405, `{"error":"this path accepts only POST"}`)},
		"POST of health": {"POST", "/healthz", "GET, HEAD",
			jsonResult(405, `{"error":"this path accepts only GET, HEAD"}`)},
		"health": {"GET", "/healthz", "",
			httpResult{Code: 200, Body: "OK", Type: "text/plain; charset=utf-8"}},
		"another path":              {"POST", "/", "", jsonResult(404, nothing)},
		"a path that ends early":    {"POST", "/webhook/demo", "", jsonResult(404, nothing)},
		"a path that goes on":       {"POST", "/webhook/demo/plant/x", "", jsonResult(404, nothing)},
		"a path without a name":     {"POST", "/webhook/demo/", "", jsonResult(404, nothing)},
		"a path with a slash more":  {"POST", "//webhook/demo/plant", "", jsonResult(404, nothing)},
		"a path with dots":          {"POST", "/webhook/x/../demo/plant", "", jsonResult(404, nothing)},
		"a path that ends in dots":  {"POST", "/webhook/demo/plant/..", "", jsonResult(404, nothing)},
		"a path that ends in slash": {"POST", "/webhook/demo/plant/", "", jsonResult(404, nothing)},
		"a path with a slash alone": {"POST", "//", "", jsonResult(404, nothing)},
		"an upper-case namespace":   {"POST", "/webhook/Demo/plant", "", jsonResult(400, "")},
		"a namespace with a slash":  {"POST", "/webhook/de%2Fmo/plant", "", jsonResult(400, "")},
		"a name with a slash":       {"POST", "/webhook/demo/pl%2Fant", "", jsonResult(400, "")},
		"a name that is a path":     {"POST", "/webhook/demo/%2e%2e", "", jsonResult(400, "")},
		"a name with a line ending": {"POST", "/webhook/demo/a%0Ab", "", jsonResult(400, "")},
	} {
		t.Run(name, func(t *testing.T) {
			p := &pipeline{}
			response := send(p.handler(t, "demo"), tc.method, tc.path, "{}")
			got := toResult(response)
			if tc.want.Code == http.StatusBadRequest && strings.HasPrefix(got.Body, `{"error":"the name`) {
				got.Body = "" // Kubernetes' text
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("response (-want +got):\n%s", diff)
			}
			if got := response.Header().Get("Allow"); got != tc.allow {
				t.Errorf("got Allow %q, want %q", got, tc.allow)
			}
			if p.called {
				t.Error("it was delivered")
			}
		})
	}
}

func TestHandler_UnreadableBodyIsNotDelivered(t *testing.T) {
	for name, tc := range map[string]struct {
		p      *pipeline
		body   string
		header []string
		want   httpResult
	}{
		"too large": {&pipeline{}, strings.Repeat("x", maxPayloadBytes+1), nil,
			jsonResult(413,
				`{"error":"Request entity too large: the body is over 100 bytes, which --max-payload-bytes sets"}`)},
		"compressed": {&pipeline{}, "x", []string{"Content-Encoding", "gzip"},
			jsonResult(400, `{"error":"the body is compressed: send it without Content-Encoding"}`)},
		"may not begin": {&pipeline{beginErr: status(503, "later", 5)}, "x", nil,
			httpResult{503, `{"error":"later"}`, "5", "application/json"}},
		"no room": {&pipeline{holdErr: status(429, "later", 7)}, "x", nil,
			httpResult{429, `{"error":"later"}`, "7", "application/json"}},
	} {
		for _, path := range []string{"/webhook/demo/plant", "/webhook?type=quay.io"} {
			t.Run(name+" "+path, func(t *testing.T) {
				p := *tc.p
				got := toResult(post(p.handler(t, "demo"), path, tc.body, tc.header...))
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("response (-want +got):\n%s", diff)
				}
				if p.called {
					t.Error("it was delivered")
				}
			})
		}
	}
}

func TestHandler_ReleasesLimiter(t *testing.T) {
	for _, err := range []error{nil, errors.New("failed")} {
		p := &pipeline{delivered: &postern.WebhookDelivery{}, err: err}
		h := p.handler(t, "demo")
		post(h, "/webhook/demo/plant", "{}")
		post(h, "/webhook?type=quay.io", "{}")
		post(h, "/webhook/demo/plant", strings.Repeat("x", maxPayloadBytes+1))
		if p.requests != 0 || p.bodies != 0 {
			t.Errorf("%d requests and %d bodies were not released", p.requests, p.bodies)
		}
	}
}

// A sender is anonymous to the cluster, with any credential.
func TestHandler_PassesRequestUnchanged(t *testing.T) {
	for _, path := range []string{"/webhook/demo/plant?", "/webhook?type=docker.io&"} {
		p := &pipeline{delivered: &postern.WebhookDelivery{}}
		post(p.handler(t, "demo"), path+"secret=s3%20cret&registry_url=https://a.example.com/b", `{"a": 1}`,
			"Authorization", "Bearer t0ken", "X-Remote-User", "admin", "X-Remote-Group", "system:masters", "X-Test",
			"1")
		type incoming struct {
			Body, QuerySecret, RegistryURL, User string
			Groups                               []string
			Authorization, Test                  string
			AuthorizationIsToken                 bool
		}
		want := incoming{`{"a": 1}`, "s3 cret", "https://a.example.com/b", user.Anonymous,
			[]string{user.AllUnauthenticated},
			"Bearer t0ken", "1", true}
		in := p.in
		got := incoming{string(in.Body), in.QuerySecret, in.RegistryURL, in.User.GetName(), in.User.GetGroups(),
			in.Header.Get("Authorization"), in.Header.Get("X-Test"), in.AuthorizationIsToken}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
		if _, known := credential.Identify(in.User); known {
			t.Errorf("%s: the user is %s", path, in.User.GetName())
		}
	}
}
