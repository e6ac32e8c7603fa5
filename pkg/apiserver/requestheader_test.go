// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
)

// testCA is a CA whose certificate can be replaced.
type testCA struct {
	dynamiccertificates.CAContentProvider
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	options     x509.VerifyOptions
}

func (c *testCA) VerifyOptions() (x509.VerifyOptions, bool) { return c.options, true }

// renew replaces the certificate and the key of the CA.
func (c *testCA) renew(t testing.TB) {
	t.Helper()
	c.certificate, c.key = nil, nil
	c.certificate, c.key = c.issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	c.options = x509.VerifyOptions{Roots: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	c.options.Roots.AddCert(c.certificate)
}

// issue returns a certificate and its key. Without a certificate of its own the CA signs it with that key.
func (c *testCA) issue(t testing.TB, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(1)
	template.NotBefore = time.Now().Add(-time.Hour)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	parent, signer := c.certificate, c.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key
}

// proxyCertificate issues a client certificate with a name.
func (c *testCA) proxyCertificate(t testing.TB, name string) *x509.Certificate {
	t.Helper()
	certificate, _ := c.issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return certificate
}

// changingNames are client names that can be changed.
type changingNames struct{ names []string }

func (c *changingNames) Value() []string { return c.names }

func newTestAuthenticator(ca *testCA, names headerrequest.StringSliceProvider) authenticator.Request {
	return newRequestHeaderAuthenticator(&authenticatorfactory.RequestHeaderConfig{
		CAContentProvider: ca, AllowedClientNames: names,
		UsernameHeaders:     headerrequest.StaticStringSlice{"X-Remote-User"},
		UIDHeaders:          headerrequest.StaticStringSlice{"X-Remote-Uid"},
		GroupHeaders:        headerrequest.StaticStringSlice{"X-Remote-Group"},
		ExtraHeaderPrefixes: headerrequest.StaticStringSlice{"X-Remote-Extra-"},
	})
}

// relayedRequest returns a request about a user by a client with these certificates.
func relayedRequest(user string, certificates ...*x509.Certificate) *http.Request {
	req := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
	req.TLS = &tls.ConnectionState{PeerCertificates: certificates}
	if user != "" {
		req.Header.Set("X-Remote-User", user)
	}
	return req
}

// A certificate that was verified once is still rejected once the CA or the allowed names change.
func TestRequestHeader_VerifiesAgainAfterChange(t *testing.T) {
	ca, names := &testCA{}, &changingNames{names: []string{"proxy"}}
	ca.renew(t)
	proxy, other := ca.proxyCertificate(t, "proxy"), ca.proxyCertificate(t, "other")
	a := newTestAuthenticator(ca, names)
	authenticated := func(req *http.Request) string {
		t.Helper()
		response, ok, err := a.AuthenticateRequest(req)
		if !ok || err != nil {
			return ""
		}
		if req.Header.Get("X-Remote-User") != "" {
			t.Error("the header is passed on")
		}
		return response.User.GetName()
	}
	for range 2 { // the second time without a verification
		for user, req := range map[string]*http.Request{
			"jane": relayedRequest("jane", proxy),
			"john": relayedRequest("john", proxy),
			"june": relayedRequest("june", proxy, ca.certificate),
		} {
			if got := authenticated(req); got != user {
				t.Errorf("got user %q, want %q", got, user)
			}
		}
		for name, req := range map[string]*http.Request{
			"another name":        relayedRequest("jane", other),
			"a chain of another":  relayedRequest("jane", other, proxy),
			"no certificate":      relayedRequest("jane"),
			"no user":             relayedRequest("", proxy),
			"no TLS, but headers": httptest.NewRequest(http.MethodPost, "/", http.NoBody),
		} {
			if got := authenticated(req); got != "" {
				t.Errorf("%s: got user %q", name, got)
			}
		}
	}

	names.names = []string{"other"}
	if got := authenticated(relayedRequest("jane", proxy)); got != "" {
		t.Errorf("after the allowed names changed: got user %q", got)
	}
	names.names = []string{"proxy"}
	ca.renew(t)
	if got := authenticated(relayedRequest("jane", proxy)); got != "" {
		t.Errorf("after the CA changed: got user %q", got)
	}
}

// The verification of a certificate is not kept longer than the certificate is valid.
func TestRequestHeader_VerifiedUntilExpiry(t *testing.T) {
	ca := &testCA{}
	ca.renew(t)
	expired, _ := ca.issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "proxy"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		NotAfter: time.Now().Add(-time.Minute),
	})
	a := newTestAuthenticator(ca, headerrequest.StaticStringSlice{})
	if _, ok, err := a.AuthenticateRequest(relayedRequest("jane", expired)); ok || err == nil {
		t.Fatalf("an expired certificate is accepted: %t, %v", ok, err)
	}
	// It was valid when it was verified.
	ca.options.CurrentTime = time.Now().Add(-30 * time.Minute)
	for range 2 {
		if _, ok, err := a.AuthenticateRequest(relayedRequest("jane", expired)); !ok || err != nil {
			t.Fatalf("a valid certificate is rejected: %t, %v", ok, err)
		}
	}
	ca.options.CurrentTime = time.Time{}
	if _, ok, _ := a.AuthenticateRequest(relayedRequest("jane", expired)); ok {
		t.Error("the certificate is accepted after it has expired")
	}
}

func BenchmarkRequestHeader(b *testing.B) {
	ca := &testCA{}
	ca.renew(b)
	proxy := ca.proxyCertificate(b, "proxy")
	a := newTestAuthenticator(ca, headerrequest.StaticStringSlice{"proxy"})
	for b.Loop() {
		if _, ok, err := a.AuthenticateRequest(relayedRequest("jane", proxy)); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
