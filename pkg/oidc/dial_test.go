// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

// testIssuer serves a discovery document and keys over https on loopback.
type testIssuer struct {
	*httptest.Server

	authority string
	requests  atomic.Int64
	keys      atomic.Pointer[string]
}

func startIssuer(t testing.TB, change func(*testIssuer, *http.ServeMux)) *testIssuer {
	t.Helper()
	mux := http.NewServeMux()
	i := &testIssuer{}
	i.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		i.requests.Add(1)
		mux.ServeHTTP(w, req)
	}))
	t.Cleanup(i.Close)
	i.authority = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificate().Raw}))
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(*i.keys.Load())) })
	if change != nil {
		change(i, mux)
		return i
	}
	mux.HandleFunc(discoveryPath, func(w http.ResponseWriter, _ *http.Request) { i.writeDiscovery(w, i.URL+"/keys") })
	return i
}

func (i *testIssuer) writeDiscovery(w http.ResponseWriter, keys string) {
	_ = json.NewEncoder(w).Encode(map[string]string{"issuer": i.URL, "jwks_uri": keys})
}

func (i *testIssuer) setKeys(t testing.TB, signers ...signer) {
	t.Helper()
	keys := keySetJSON(t, signers...)
	i.keys.Store(&keys)
}

func (i *testIssuer) host() string { return strings.TrimPrefix(i.URL, "https://") }

// dial allows to ask the issuer.
func (i *testIssuer) dial() Dial {
	return Dial{Hosts: []string{i.host()}, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
}

func (i *testIssuer) source() source { return source{issuer: i.URL, authority: i.authority} }

func TestDial_Fetches(t *testing.T) {
	i := startIssuer(t, nil)
	i.setKeys(t, newSigner(t, "k1"), newSigner(t, "k2"))
	keys, err := i.dial().fetch(t.Context(), i.source())
	if err != nil || len(keys) != 2 {
		t.Errorf("got %d keys and %v, want 2", len(keys), err)
	}
}

// A namespace can't make Postern ask another host than those that the administrator lists, nor a private address behind
// one of them, and an issuer can't point it there.
func TestDial_Refuses(t *testing.T) {
	internal := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the internal service was asked")
	}))
	t.Cleanup(internal.Close)
	answer := func(code int, body string) func(*testIssuer, *http.ServeMux) {
		return func(_ *testIssuer, mux *http.ServeMux) {
			mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(code)
				_, _ = w.Write([]byte(body))
			})
		}
	}
	keysAt := func(address func(*testIssuer) string) func(*testIssuer, *http.ServeMux) {
		return func(i *testIssuer, mux *http.ServeMux) {
			mux.HandleFunc(discoveryPath, func(w http.ResponseWriter, _ *http.Request) {
				i.writeDiscovery(w, address(i))
			})
		}
	}
	for name, test := range map[string]struct {
		serve  func(*testIssuer, *http.ServeMux)
		change func(*testIssuer, *Dial, *source)
		says   string
	}{
		"a host that is not listed": {nil, func(_ *testIssuer, d *Dial, _ *source) { d.Hosts = []string{"gitlab.com"} },
			"is not in --oidc-issuer-hosts"},
		"another port": {nil, func(_ *testIssuer, d *Dial, _ *source) { d.Hosts = []string{"127.0.0.1"} },
			"is not in --oidc-issuer-hosts"},
		"no hosts": {nil, func(_ *testIssuer, d *Dial, _ *source) { d.Hosts = nil }, "is not in --oidc-issuer-hosts"},
		"an address that is not public": {nil, func(_ *testIssuer, d *Dial, _ *source) { d.Networks = nil },
			"is not public"},
		"another authority": {nil, func(_ *testIssuer, _ *Dial, s *source) { s.authority = "" }, "certificate"},
		"no https": {nil, func(i *testIssuer, _ *Dial, s *source) { s.issuer = "http://" + i.host() },
			"https"},
		"a discovery URL elsewhere": {nil, func(_ *testIssuer, _ *Dial, s *source) { s.discoveryURL = internal.URL },
			"is not in --oidc-issuer-hosts"},
		"another issuer": {nil, func(i *testIssuer, _ *Dial, s *source) {
			s.issuer, s.discoveryURL = i.URL+"/other", i.URL+discoveryPath
		}, "of another issuer"},
		"keys elsewhere": {keysAt(func(*testIssuer) string { return internal.URL + "/keys" }), nil, "jwks_uri"},
		"keys of the cloud": {keysAt(func(*testIssuer) string { return "http://169.254.169.254/latest" }), nil,
			"jwks_uri"},
		"keys in a file": {keysAt(func(*testIssuer) string { return "file:///etc/passwd" }), nil, "jwks_uri"},
		"a redirect": {func(_ *testIssuer, mux *http.ServeMux) {
			mux.Handle("/", http.RedirectHandler(internal.URL, http.StatusFound))
		}, nil, "answered 302"},
		"an error":       {answer(http.StatusInternalServerError, "{}"), nil, "answered 500"},
		"a page":         {answer(http.StatusOK, "<html>"), nil, "not a discovery document"},
		"a large answer": {answer(http.StatusOK, strings.Repeat(" ", maxResponseBytes+1)), nil, "more than"},
		"no keys": {func(i *testIssuer, mux *http.ServeMux) {
			mux.HandleFunc(discoveryPath, func(w http.ResponseWriter, _ *http.Request) {
				i.writeDiscovery(w, i.URL+"/none")
			})
			mux.HandleFunc("/none", func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write([]byte(`{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"k1"}]}`))
			})
		}, nil, "no RSA or EC public key"},
	} {
		t.Run(name, func(t *testing.T) {
			i := startIssuer(t, test.serve)
			i.setKeys(t, newSigner(t, "k1"))
			dial, source := i.dial(), i.source()
			if test.change != nil {
				test.change(i, &dial, &source)
			}
			keys, err := dial.fetch(t.Context(), source)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %d keys and the error %v, want one that says %q", len(keys), err, test.says)
			}
		})
	}
}

func TestDial_CheckAddress(t *testing.T) {
	dial := Dial{Networks: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}
	for address, want := range map[string]bool{
		"140.82.112.3:443": true, "[2606:50c0:8000::153]:443": true, "10.1.2.3:8443": true,
		"10.2.0.1:443": false, "127.0.0.1:443": false, "[::1]:443": false, "169.254.169.254:443": false,
		"[::ffff:169.254.169.254]:443": false, "192.168.1.1:443": false, "172.16.0.1:443": false, "0.0.0.0:443": false,
		"[::]:443": false, "[fe80::1%eth0]:443": false, "[fd00::1]:443": false, "100.100.100.200:443": false,
		"224.0.0.1:443": false, "255.255.255.255:443": false, "[64:ff9b::a9fe:a9fe]:443": false, "x": false,
	} {
		if err := dial.checkAddress(address); (err == nil) != want {
			t.Errorf("%s: got %v, want allowed=%v", address, err, want)
		}
	}
}
