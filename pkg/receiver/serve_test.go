// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// testServer runs until the test ends.
type testServer struct {
	address string
	stop    context.CancelFunc
	// ended has the error of Start after it returned.
	ended <-chan error
}

// startServer starts a server on loopback.
func startServer(t *testing.T, config ServerConfig) *testServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if config.Handler == nil {
		config.Handler = http.HandlerFunc(
			func(w http.ResponseWriter, req *http.Request) { _, _ = w.Write([]byte(req.Proto)) })
	}
	if config.DrainTimeout == 0 {
		config.DrainTimeout = 10 * time.Second
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		ended <- NewServer(config).serve(ctx, listener)
	}()
	t.Cleanup(func() {
		stop()
		<-finished
	})
	return &testServer{address: listener.Addr().String(), stop: stop, ended: ended}
}

// startTLSServer starts a server with the certificate of its options, or a self-signed one.
func startTLSServer(t *testing.T, options TLSOptions) *testServer {
	t.Helper()
	certificates, err := LoadCertificates(options)
	if err != nil {
		t.Fatal(err)
	}
	return startServer(t, ServerConfig{TLS: options, Certificates: certificates})
}

// connect returns the connection state of a client that accepts any certificate.
func (s *testServer) connect(client *tls.Config) (tls.ConnectionState, error) {
	client = client.Clone()
	client.InsecureSkipVerify = true
	conn, err := tls.Dial("tcp", s.address, client)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	return conn.ConnectionState(), nil
}

// peerCertificate returns the certificate served to a TLS 1.3 client.
func (s *testServer) peerCertificate(t *testing.T) *x509.Certificate {
	t.Helper()
	state, err := s.connect(&tls.Config{MinVersion: tls.VersionTLS13})
	if err != nil {
		t.Fatal(err)
	}
	return state.PeerCertificates[0]
}

// pairFiles returns options with paths of a certificate and key that need not exist.
func pairFiles(t *testing.T) TLSOptions {
	dir := t.TempDir()
	return TLSOptions{
		MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS13,
		CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key"),
	}
}

// writePair writes a new certificate, valid as of now, with its key, and returns the certificate.
func writePair(t *testing.T, o TLSOptions, at time.Time) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return writePairOf(t, o, key, at)
}

func writePairOf(t *testing.T, o TLSOptions, key crypto.Signer, at time.Time) *x509.Certificate {
	t.Helper()
	certificate, err := selfSignWith(key, at)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, o.KeyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	replace(t, o.CertFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}))
	return certificate.Leaf
}

// replace replaces a file atomically, as the kubelet does.
func replace(t *testing.T, path string, content []byte) {
	t.Helper()
	next := path + ".next"
	if err := os.WriteFile(next, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}
