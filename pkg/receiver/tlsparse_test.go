// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTLSVersionsAreTakenInEachSpelling(t *testing.T) {
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

func TestCipherSuitesAreTakenByGosNames(t *testing.T) {
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

func TestAnUnknownOrInsecureCipherSuiteIsAnErrorThatNamesIt(t *testing.T) {
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
