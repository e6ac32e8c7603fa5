// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
)

// fakeCA is a certificate authority that is known or not.
type fakeCA struct {
	dynamiccertificates.CAContentProvider
	known bool
}

func (f *fakeCA) VerifyOptions() (x509.VerifyOptions, bool) { return x509.VerifyOptions{}, f.known }

func TestNobodyIsTakenForAStrangerWhileTheServerStarts(t *testing.T) {
	ca := &fakeCA{}
	config := &authenticatorfactory.RequestHeaderConfig{CAContentProvider: ca}
	served := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for _, test := range []struct {
		known  bool
		config *authenticatorfactory.RequestHeaderConfig
		path   string
		code   int
		retry  string
	}{
		{false, config, "/apis/postern.dev/v1alpha1", http.StatusServiceUnavailable, "5"},
		{false, config, "/readyz", http.StatusTeapot, ""},
		{false, config, "/livez/ping", http.StatusTeapot, ""},
		{true, config, "/apis/postern.dev/v1alpha1", http.StatusTeapot, ""},
		{false, nil, "/apis/postern.dev/v1alpha1", http.StatusTeapot, ""},
	} {
		ca.known = test.known
		w := httptest.NewRecorder()
		onceRelayKnown(served, test.config).ServeHTTP(w, httptest.NewRequest(http.MethodPost, test.path, http.NoBody))
		if got := w.Header().Get("Retry-After"); w.Code != test.code || got != test.retry {
			t.Errorf("%s, known: %t: got %d with Retry-After %q, want %d with %q", test.path, test.known, w.Code, got, test.code, test.retry)
		}
		if err := relayCheck(test.config).Check(nil); (err == nil) != (test.known || test.config == nil) {
			t.Errorf("known: %t: readiness %v", test.known, err)
		}
	}
}
