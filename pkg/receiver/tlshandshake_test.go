// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"
)

func allVersions() []uint16 {
	return []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13}
}

func TestTLS_Versions(t *testing.T) {
	for _, lowest := range allVersions()[1:] {
		for _, highest := range allVersions()[1:] {
			if lowest > highest {
				continue
			}
			options := pairFiles(t)
			options.MinVersion, options.MaxVersion = lowest, highest
			server := startTLSServer(t, options)
			for _, version := range allVersions() {
				state, err := server.connect(&tls.Config{MinVersion: version, MaxVersion: version})
				name := fmt.Sprintf("a client of %s with a server of %s to %s", tls.VersionName(version),
					tls.VersionName(lowest), tls.VersionName(highest))
				if within := lowest <= version && version <= highest; within != (err == nil) {
					t.Errorf("%s: got error %v", name, err)
				} else if within && state.Version != version {
					t.Errorf("%s: got %s", name, tls.VersionName(state.Version))
				}
			}
		}
	}
}

func TestTLS_EachCipherSuite(t *testing.T) {
	for _, suite := range tls.CipherSuites() {
		for _, version := range suite.SupportedVersions {
			if version < tls.VersionTLS11 || version > tls.VersionTLS12 {
				continue
			}
			options := pairFiles(t)
			options.MinVersion, options.MaxVersion, options.CipherSuites = version, tls.VersionTLS12, []uint16{suite.ID}
			if err := options.Validate(); err != nil {
				t.Error(err)
				continue
			}
			server := startTLSServer(t, options)
			state, err := server.connect(&tls.Config{MinVersion: version, MaxVersion: version})
			if err != nil || state.CipherSuite != suite.ID {
				t.Errorf("%s with %s: got %s and error %v", suite.Name, tls.VersionName(version),
					tls.CipherSuiteName(state.CipherSuite), err)
			}
			var others []uint16
			for _, other := range tls.CipherSuites() {
				if other.ID != suite.ID && slices.Contains(other.SupportedVersions, version) {
					others = append(others, other.ID)
				}
			}
			client := &tls.Config{MinVersion: version, MaxVersion: version, CipherSuites: others}
			if state, err := server.connect(client); err == nil {
				t.Errorf("%s was negotiated, only %s is allowed", tls.CipherSuiteName(state.CipherSuite), suite.Name)
			}
		}
	}
}

// TLS 1.3 suites can't be selected or excluded.
func TestTLS_CipherSuitesKeepTLS13(t *testing.T) {
	options := pairFiles(t)
	options.MinVersion, options.CipherSuites = tls.VersionTLS12, []uint16{gcm256}
	if err := options.Validate(); err != nil {
		t.Fatal(err)
	}
	state, err := startTLSServer(t, options).connect(&tls.Config{MinVersion: tls.VersionTLS13})
	if err != nil {
		t.Fatal(err)
	}
	suite := findSuite(func(s *tls.CipherSuite) bool { return s.ID == state.CipherSuite })
	if !slices.Equal(suite.SupportedVersions, []uint16{tls.VersionTLS13}) {
		t.Errorf("got %s", suite.Name)
	}
}

func TestTLS_RSACertificate(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		t.Fatal(err)
	}
	options := pairFiles(t)
	options.MinVersion = tls.VersionTLS11
	want := writePairOf(t, options, key, time.Now())
	server := startTLSServer(t, options)
	for _, version := range allVersions()[1:] {
		state, err := server.connect(&tls.Config{MinVersion: version, MaxVersion: version})
		if err != nil {
			t.Fatal(err)
		}
		if !state.PeerCertificates[0].Equal(want) {
			t.Errorf("%s: another certificate is served", tls.VersionName(version))
		}
	}
}

func TestTLS_HTTP2OnlyIfEnabled(t *testing.T) {
	for _, test := range []struct {
		name     string
		enabled  bool
		min, max uint16
		suites   []uint16
		want     string
	}{
		{name: "off", min: tls.VersionTLS13, max: tls.VersionTLS13, want: "HTTP/1.1"},
		{name: "off with TLS 1.2", min: tls.VersionTLS12, max: tls.VersionTLS12, want: "HTTP/1.1"},
		{name: "on", enabled: true, min: tls.VersionTLS13, max: tls.VersionTLS13, want: "HTTP/2.0"},
		{name: "on with TLS 1.2", enabled: true, min: tls.VersionTLS12, max: tls.VersionTLS12, want: "HTTP/2.0"},
		{name: "on with one suite", enabled: true, min: tls.VersionTLS12, max: tls.VersionTLS12,
			suites: []uint16{gcm128}, want: "HTTP/2.0"},
		{name: "on with suites that are ignored", enabled: true, min: tls.VersionTLS13, max: tls.VersionTLS13,
			suites: []uint16{gcm256}, want: "HTTP/2.0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			options := pairFiles(t)
			options.MinVersion, options.MaxVersion = test.min, test.max
			options.CipherSuites, options.HTTP2 = test.suites, test.enabled
			if err := options.Validate(); err != nil {
				t.Fatal(err)
			}
			server := startTLSServer(t, options)
			transport := &http.Transport{ForceAttemptHTTP2: true,
				TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
			defer transport.CloseIdleConnections()
			if got := get(t, transport, "https://"+server.address); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			// ALPN rejects a client that supports only HTTP/2.
			state, err := server.connect(&tls.Config{NextProtos: []string{"h2"}})
			if insisted := err == nil && state.NegotiatedProtocol == "h2"; insisted != test.enabled {
				t.Errorf("a client with only HTTP/2 got %q and error %v", state.NegotiatedProtocol, err)
			}
		})
	}
}

func TestTLS_SelfSignedForLocalhost(t *testing.T) {
	server := startTLSServer(t, pairFiles(t))
	roots := x509.NewCertPool()
	roots.AddCert(server.peerCertificate(t))
	for _, name := range []string{"localhost", "127.0.0.1", "::1"} {
		conn, err := tls.Dial("tcp", server.address, &tls.Config{RootCAs: roots, ServerName: name})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_ = conn.Close()
	}
}

// get returns the body of a response with code 200.
func get(t *testing.T, transport http.RoundTripper, url string) string {
	t.Helper()
	resp, err := (&http.Client{Transport: transport}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("got %s: %s", resp.Status, body)
	}
	return string(body)
}
