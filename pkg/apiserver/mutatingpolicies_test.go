// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
)

func TestServesMutatingPolicies(t *testing.T) {
	const (
		policies = `{"name": "mutatingadmissionpolicies", "kind": "MutatingAdmissionPolicy"}`
		bindings = `{"name": "mutatingadmissionpolicybindings", "kind": "MutatingAdmissionPolicyBinding"}`
		webhooks = `{"name": "mutatingwebhookconfigurations", "kind": "MutatingWebhookConfiguration"}`
	)
	for name, test := range map[string]struct {
		code      int
		resources string
		want      bool
		wantErr   bool
	}{
		"served":           {code: http.StatusOK, resources: webhooks + "," + policies + "," + bindings, want: true},
		"not served":       {code: http.StatusOK, resources: webhooks},
		"only policies":    {code: http.StatusOK, resources: policies},
		"no such version":  {code: http.StatusNotFound},
		"unavailable":      {code: http.StatusServiceUnavailable, wantErr: true},
		"not allowed yet":  {code: http.StatusForbidden, wantErr: true},
		"too many clients": {code: http.StatusTooManyRequests, wantErr: true},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if req.URL.Path != "/apis/admissionregistration.k8s.io/v1" {
					t.Errorf("got a request for %s", req.URL.Path)
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(test.code)
				if test.code == http.StatusOK {
					_, _ = w.Write([]byte(`{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": ` +
						`"admissionregistration.k8s.io/v1", "resources": [` + test.resources + `]}`))
				}
			}))
			defer server.Close()
			client, err := discovery.NewDiscoveryClientForConfig(&rest.Config{Host: server.URL})
			if err != nil {
				t.Fatal(err)
			}
			got, err := ServesMutatingPolicies(t.Context(), client)
			if got != test.want || (err != nil) != test.wantErr {
				t.Errorf("got %v, error %v; want %v, an error: %v", got, err, test.want, test.wantErr)
			}
		})
	}
}

// A plugin that the framework adds must not be forgotten.
func TestAdmissionPlugins_AreThoseOfTheFramework(t *testing.T) {
	want := genericoptions.NewAdmissionOptions().Plugins.Registered()
	for _, mutatingPolicies := range []bool{false, true} {
		got := AdmissionPlugins(mutatingPolicies).Registered()
		if diff := cmp.Diff(slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(got))); diff != "" {
			t.Errorf("with mutating policies %v: plugins (-want +got):\n%s", mutatingPolicies, diff)
		}
	}
}
