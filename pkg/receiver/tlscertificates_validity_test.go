// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/component-base/metrics/legacyregistry"

	"postern.dev/postern/pkg/servingcert"
)

// A certificate expires without a change, and an error would end the whole process at its next restart.
func TestCertificates_ExpiredAtStart(t *testing.T) {
	servingcert.RegisterMetrics()
	for name, test := range map[string]struct {
		made time.Duration
		want func(TLSOptions, *x509.Certificate) string
	}{
		"expired": {expired, func(o TLSOptions, c *x509.Certificate) string {
			return "the certificate for webhooks in " + o.CertFile + " expired on " + c.NotAfter.Format(time.RFC3339) +
				": renew it, which takes no restart"
		}},
		"not valid yet": {early, func(o TLSOptions, c *x509.Certificate) string {
			return "the certificate for webhooks in " + o.CertFile + " is not valid before " +
				c.NotBefore.Format(time.RFC3339) +
				": check the clock of this machine and the issuer"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			options := pairFiles(t)
			mounted := writePair(t, options, time.Now().Add(test.made))
			certificates, err := LoadCertificates(options)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := certificates.lastReported(), test.want(options, mounted); got != want {
				t.Errorf("reported %q, want %q", got, want)
			}
			checkExpirationMetric(t, mounted)
			server := startServer(t, ServerConfig{TLS: options, Certificates: certificates})
			if !server.peerCertificate(t).Equal(mounted) {
				t.Error("the certificate is not served")
			}
			certificates.refresh(t.Context())
			if !server.peerCertificate(t).Equal(mounted) {
				t.Error("the certificate is no longer served")
			}
			renewed := writePair(t, options, time.Now())
			server.untilShown(t, renewed)
			certificates.refresh(t.Context())
			if got := certificates.lastReported(); got != "" {
				t.Errorf("after the renewal, reported %q", got)
			}
			checkExpirationMetric(t, renewed)
		})
	}
}

// checkExpirationMetric checks the certificate of the metrics.
func checkExpirationMetric(t *testing.T, certificate *x509.Certificate) {
	t.Helper()
	const name = "postern_certificate_expiration_timestamp_seconds"
	families, err := legacyregistry.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, metric := range family.GetMetric() {
			got[metric.GetLabel()[0].GetValue()] = metric.GetGauge().GetValue()
		}
	}
	if diff := cmp.Diff(map[string]float64{"receiver": float64(certificate.NotAfter.Unix())}, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// lastReported returns the last logged error of the files, "" if there is none now.
func (c *Certificates) lastReported() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastError
}
