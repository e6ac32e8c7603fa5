// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The receiver is an additional endpoint. Its expired certificate must not take the API down.
func TestReceiver_ExpiredCertificateIsRenewed(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	expired := writeCertificate(t, certFile, keyFile, time.Minute) // since an hour ago
	secret := newSecret()
	s := newSuite(t, "--enable-webhook", "--webhook-namespaces=*", "--webhook-tls-cert-file="+certFile,
		"--webhook-tls-private-key-file="+keyFile)
	w := s.newWorld(t)
	w.gatewaySync("web")
	w.secret(map[string]string{"hmac": secret})

	shown, err := s.shownByReceiver()
	if err != nil {
		t.Fatal(err)
	}
	if shown.NotAfter.After(time.Now()) {
		t.Errorf("the served certificate expires on %s", shown.NotAfter)
	}
	const expiration = `postern_certificate_expiration_timestamp_seconds{certificate="receiver"}`
	if got := s.metrics(t, expiration)[expiration]; int64(got) != shown.NotAfter.Unix() {
		t.Errorf("%s is %f, want %d", expiration, got, shown.NotAfter.Unix())
	}
	log, err := os.ReadFile(s.postern.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	want := "the certificate for webhooks in " + certFile + " expired on " + shown.NotAfter.Format(time.RFC3339) +
		": renew it, which takes no restart"
	if !strings.Contains(string(log), want) {
		t.Errorf("the log does not have %q", want)
	}

	path := "https://" + s.postern.ReceiverAddress() + "/webhook/" + w.Namespace + "/web"
	deliver := func(trusted *x509.CertPool) error {
		code, body, err := receiverAnswer(t.Context(), receiverClient(t, trusted), path, anyBody,
			signed(secret, anyBody))
		if err == nil && code != http.StatusAccepted {
			err = fmt.Errorf("got %d: %s", code, body)
		}
		return err
	}
	if err := deliver(expired); err == nil || !strings.Contains(err.Error(), "certificate has expired") {
		t.Errorf("a sender that verifies gets error %v", err)
	}
	renewed := writeCertificate(t, certFile, keyFile, 24*time.Hour)
	w.eventually(func() error { return deliver(renewed) })
	w.checkRequested("web", "v1", "generic")
}
