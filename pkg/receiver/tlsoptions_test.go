// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	gcm128 = tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
	gcm256 = tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
	cbc    = tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA
)

func TestTLSOptions_Errors(t *testing.T) {
	const v11, v12, v13 = tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13
	for _, test := range []struct {
		name     string
		min, max uint16
		suites   []uint16
		http2    bool
		want     string // "" if valid
	}{
		{name: "the defaults", min: v13, max: v13},
		{name: "one version", min: v11, max: v11},
		{name: "all versions", min: v11, max: v13},
		{name: "suites of the minimum", min: v12, max: v13, suites: []uint16{gcm128, cbc}},
		{name: "suites without effect", min: v13, max: v13, suites: []uint16{gcm128}},
		{name: "HTTP/2", min: v13, max: v13, http2: true},
		{name: "HTTP/2 with its suite", min: v12, max: v12, suites: []uint16{gcm256, gcm128}, http2: true},
		{name: "HTTP/2 with the suite of ECDSA keys", min: v12, max: v13,
			suites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, http2: true},
		{
			name: "minimum above maximum", min: v13, max: v12,
			want: "the minimum version of TLS (--tlsminversion) is 1.3: it must not be above the maximum " +
				"(--tlsmaxversion), 1.2",
		},
		{
			name: "a suite of TLS 1.2 for 1.1", min: v11, max: v13, suites: []uint16{cbc, gcm128},
			want: "the cipher suite TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 (--tlsciphers) does not work with TLS 1.1, " +
				"the minimum version (--tlsminversion)",
		},
		{
			name: "suites of TLS 1.3 for 1.2", min: v12, max: v13,
			suites: []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384},
			want: "the cipher suite TLS_AES_128_GCM_SHA256 (--tlsciphers) does not work with TLS 1.2, the minimum " +
				"version (--tlsminversion)\n" +
				"the cipher suite TLS_AES_256_GCM_SHA384 (--tlsciphers) does not work with TLS 1.2, the minimum " +
				"version (--tlsminversion)",
		},
		{
			name: "HTTP/2 without TLS 1.2", min: v11, max: v11, http2: true,
			want: "HTTP/2 (--enable-http2) needs TLS 1.2: raise the maximum version (--tlsmaxversion)",
		},
		{
			name: "HTTP/2 without its suite", min: v12, max: v13, suites: []uint16{gcm256}, http2: true,
			want: "HTTP/2 (--enable-http2) needs the cipher suite TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 or " +
				"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 (--tlsciphers)",
		},
	} {
		got := ""
		options := TLSOptions{
			MinVersion: test.min, MaxVersion: test.max, CipherSuites: test.suites, HTTP2: test.http2,
		}
		if err := options.Validate(); err != nil {
			got = err.Error()
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestTLSOptions_WarnsOfUnusedCipherSuites(t *testing.T) {
	for _, test := range []struct {
		min    uint16
		suites []uint16
		want   int
	}{
		{tls.VersionTLS13, nil, 0},
		{tls.VersionTLS12, []uint16{gcm128}, 0},
		{tls.VersionTLS13, []uint16{gcm128}, 1},
	} {
		o := TLSOptions{MinVersion: test.min, MaxVersion: tls.VersionTLS13, CipherSuites: test.suites}
		if got := o.Warnings(); len(got) != test.want {
			t.Errorf("TLS %s with %d suites: got %q", versionNumber(test.min), len(test.suites), got)
		}
	}
}

func TestParseTLSVersion_Spellings(t *testing.T) {
	for name, want := range map[string]uint16{
		"1.1": tls.VersionTLS11, "tls1.1": tls.VersionTLS11,
		"1.2": tls.VersionTLS12, "TLS1.2": tls.VersionTLS12, " 1.2\n": tls.VersionTLS12,
		"1.3": tls.VersionTLS13, "Tls1.3": tls.VersionTLS13,
	} {
		if got, err := ParseTLSVersion(name); err != nil || got != want {
			t.Errorf("%q: got %x and error %v, want %x", name, got, err, want)
		}
	}
	for _, name := range []string{"", "1", "1.0", "1.4", "TLS", "SSL3.0", "1.2,1.3", "0x0303", "tlstls1.2"} {
		if got, err := ParseTLSVersion(name); err == nil || !strings.Contains(err.Error(), "give 1.1, 1.2 or 1.3") {
			t.Errorf("%q: got %x and error %v", name, got, err)
		}
	}
}

func TestParseCipherSuites_GoNames(t *testing.T) {
	for names, want := range map[string][]uint16{
		"":                                      nil,
		" : ":                                   nil,
		"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": {tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
		" TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 : TLS_AES_128_GCM_SHA256:": {
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_AES_128_GCM_SHA256,
		},
	} {
		got, err := ParseCipherSuites(names)
		if err != nil {
			t.Errorf("%q: %v", names, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", names, diff)
		}
	}
}

func TestParseCipherSuites_ErrorNamesSuite(t *testing.T) {
	const good = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
	insecure := tls.InsecureCipherSuites()[0].Name
	_, err := ParseCipherSuites(
		strings.Join([]string{good, "ECDHE-RSA-AES128-GCM-SHA256", insecure, strings.ToLower(good)}, ":"))
	if err == nil {
		t.Fatal("the suites were accepted")
	}
	for _, name := range []string{"ECDHE-RSA-AES128-GCM-SHA256", insecure, strings.ToLower(good)} {
		if !strings.Contains(err.Error(), `"`+name+`" is not a secure cipher suite`) {
			t.Errorf("%s is not in the error: %v", name, err)
		}
	}
	if strings.Contains(err.Error(), `"`+good+`"`) {
		t.Errorf("the valid suite is in the error: %v", err)
	}
}
