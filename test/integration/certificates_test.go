// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	certutil "k8s.io/client-go/util/cert"

	"postern.dev/postern/test/controlplane"
)

// ofCertManager is the Secret in which cert-manager puts the certificates.
const ofCertManager = "postern-serving"

func (s *suite) usesCertManager(t *testing.T) bool {
	t.Helper()
	_, err := s.Kube.CoreV1().Secrets(controlplane.Namespace).Get(t.Context(), ofCertManager, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	return err == nil
}

// caSecret returns the CA that Postern has generated. It skips the test if cert-manager issues the certificates.
func (s *suite) caSecret(t *testing.T) *corev1.Secret {
	t.Helper()
	if s.usesCertManager(t) {
		t.Skip("only for certificates that Postern generates")
	}
	secret, err := s.Kube.CoreV1().Secrets(controlplane.Namespace).Get(t.Context(), "postern-ca", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// leaf returns Postern's serving certificate.
func (s *suite) leaf(t *testing.T) *x509.Certificate {
	t.Helper()
	address, err := url.Parse(s.postern.Address())
	if err != nil {
		t.Fatal(err)
	}
	// the test verifies it
	conn, err := tls.Dial("tcp", address.Host, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState().PeerCertificates[0]
}

func TestCertificates_ExpiryMetrics(t *testing.T) {
	const expires = "postern_certificate_expiration_timestamp_seconds"
	ca, err := certutil.ParseCertsPEM(shared.caSecret(t).Data["tls.crt"])
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{
		expires + `{certificate="ca"}`:      float64(ca[0].NotAfter.Unix()),
		expires + `{certificate="serving"}`: float64(shared.leaf(t).NotAfter.Unix()),
	}
	got := shared.metrics(t, expires)
	delete(got, expires+`{certificate="receiver"}`) // only with some overlays
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

// The shared Postern has the most verbose logs. Data of a Secret is base64 in all of its representations.
func TestCertificates_NoKeyInLog(t *testing.T) {
	key := shared.caSecret(t).Data["tls.key"]
	forms := []string{"PRIVATE KEY", strings.Split(string(key), "\n")[1], base64.StdEncoding.EncodeToString(key)[:64]}
	for _, name := range []string{shared.postern.LogFile(), filepath.Join(shared.Dir(), posternAuditLog)} {
		log, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range forms {
			if bytes.Contains(log, []byte(form)) {
				t.Errorf("%s has a private key", filepath.Base(name))
			}
		}
		if len(log) == 0 {
			t.Errorf("%s is empty", name)
		}
	}
}

func TestCertificates_ExpiryMetricOfFiles(t *testing.T) {
	s := newSuiteOf(t, controlplane.Base, controlplane.PosternOptions{CertificateFiles: true})
	const expires = "postern_certificate_expiration_timestamp_seconds"
	want := map[string]float64{expires + `{certificate="serving"}`: float64(s.leaf(t).NotAfter.Unix())}
	if diff := cmp.Diff(want, s.metrics(t, expires)); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	if _, err := s.Kube.CoreV1().Secrets(controlplane.Namespace).Get(t.Context(), "postern-ca",
		metav1.GetOptions{}); err == nil {
		t.Error("Postern has generated a CA")
	}
}
